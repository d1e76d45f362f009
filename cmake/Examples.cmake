# Programs against the public headers and libcolrow alone, as a user would build them; into the folder examples/.
function(colrow_example name)
    add_executable(${name} ${PROJECT_SOURCE_DIR}/examples/${name}.c)
    target_link_libraries(${name} PRIVATE libcolrow colrow_flags m)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
endfunction()

colrow_example(collectives)
