# libcolrow, shared and static, from all layers but server and cmd; its headers and pkg-config file. Only what the headers declare
# is visible in either: the static library is one object whose other symbols are made local.
set(library_objects "")
get_property(library_layers GLOBAL PROPERTY COLROW_LAYERS)
list(REMOVE_ITEM library_layers colrow_server colrow_cmd)
foreach(layer IN LISTS library_layers)
    get_target_property(type ${layer} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
        list(APPEND library_objects $<TARGET_OBJECTS:${layer}>)
    endif()
endforeach()

add_library(libcolrow SHARED ${library_objects})
set_target_properties(libcolrow PROPERTIES OUTPUT_NAME colrow VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINKER_LANGUAGE C LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
target_link_libraries(libcolrow PRIVATE colrow_flags PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::UTF8PROC
    PkgConfig::HWLOC ${COLROW_SECCOMP} Threads::Threads m ${CMAKE_DL_LIBS})

set(static_library ${PROJECT_BINARY_DIR}/libcolrow.a)
set(static_object ${PROJECT_BINARY_DIR}/libcolrow.o)
add_custom_command(OUTPUT ${static_library}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${static_library}
    COMMAND ${CMAKE_LINKER} -r -o ${static_object} ${library_objects}
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${static_object}
    COMMAND ${CMAKE_AR} rcs ${static_library} ${static_object}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${static_object}
    DEPENDS ${library_objects} ${library_layers}
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking libcolrow.a")
add_custom_target(libcolrow_static ALL DEPENDS ${static_library})

# relative, so that `cmake --install --prefix` may put it anywhere
file(RELATIVE_PATH COLROW_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/colrow.pc.in ${PROJECT_BINARY_DIR}/colrow.pc @ONLY)
install(TARGETS libcolrow LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${static_library} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/colrow.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/colrow DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
