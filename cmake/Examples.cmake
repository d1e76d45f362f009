# Programs against the public headers and libcolrow alone, as a user would build them; into the folder examples/.
function(colrow_example name)
    add_executable(${name} ${PROJECT_SOURCE_DIR}/examples/${name}.c)
    target_link_libraries(${name} PRIVATE libcolrow colrow_flags m)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
endfunction()

colrow_example(collectives)
colrow_example(pipeline)
colrow_example(nodes)

# Benchmarks that stand alone; built on demand: cmake --build build/release --target bench_collectives
file(GLOB benchmarks CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/bench_*.c)
foreach(source IN LISTS benchmarks)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} EXCLUDE_FROM_ALL ${source})
    target_link_libraries(${name} PRIVATE colrow_engine PkgConfig::LIBUV m)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
endforeach()
