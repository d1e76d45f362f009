# The program, the public library, the examples, and what `make install` puts where.
include(cmake/Version.cmake)
if(EXISTS ${PROJECT_SOURCE_DIR}/src/cmd/main.c)
    add_executable(colrow src/cmd/main.c)
    target_link_libraries(colrow PRIVATE colrow_cmd)
    colrow_commit(colrow)
    set_target_properties(colrow PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
    install(TARGETS colrow RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
