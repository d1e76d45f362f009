# Every tests/fuzz/fuzz_NAME.c is a libFuzzer target. Its corpus tests/fuzz/corpus/NAME is replayed as the ordinary test
# fuzz/NAME; with COLROW_FUZZ=ON (clang, and COLROW_SANITIZE=address,undefined) the fuzzer itself is
# build/*/fuzz/fuzz_NAME: run it as `fuzz_NAME -max_total_time=60 NEW_FOLDER tests/fuzz/corpus/NAME`.
get_property(layers GLOBAL PROPERTY COLROW_LAYERS)

if(COLROW_FUZZ)
    add_custom_target(fuzzers)
endif()

function(colrow_fuzz source)
    get_filename_component(target ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${target})
    set(replay replay_${name})
    add_executable(${replay} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
    target_link_libraries(${replay} PRIVATE ${layers} m)
    target_compile_definitions(${replay} PRIVATE MODEL_DIR="${PROJECT_SOURCE_DIR}/models/demo"
        SHARED_DIR="${COLROW_SHARED}")
    set_target_properties(${replay} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    add_test(NAME fuzz/${name} COMMAND ${replay} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 300)
    if(COLROW_FUZZ)
        add_executable(${target} ${source})
        add_dependencies(fuzzers ${target})
        target_link_libraries(${target} PRIVATE ${layers} m)
        target_compile_definitions(${target} PRIVATE MODEL_DIR="${PROJECT_SOURCE_DIR}/models/demo"
            SHARED_DIR="${COLROW_SHARED}")
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    endif()
endfunction()

file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(source IN LISTS sources)
    colrow_fuzz(${source})
endforeach()
