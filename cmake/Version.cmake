# colrow_commit(TARGET): `build_commit`, the commit that is checked out, for `colrow --version`. It is looked up at each
# build, since commits come and go without CMake running, and only the one small file that holds it is compiled again.
function(colrow_commit target)
    set(file ${PROJECT_BINARY_DIR}/generated/build_commit.c)
    add_custom_target(${target}_commit BYPRODUCTS ${file}
        COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DOUT=${file}
            -P ${PROJECT_SOURCE_DIR}/cmake/WriteCommit.cmake
        COMMENT "" VERBATIM)
    target_sources(${target} PRIVATE ${file})
    add_dependencies(${target} ${target}_commit)
endfunction()
