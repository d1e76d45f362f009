# colrow_layer(NAME [DEPENDS layer] [LIBS ...] [WITHOUT file]): the folder src/NAME as one static library.
# Sources are found by pattern, so that a new file is one file and no list; CONFIGURE_DEPENDS makes
# the build look again each time.
add_library(colrow_flags INTERFACE)
target_compile_features(colrow_flags INTERFACE c_std_17)
target_compile_definitions(colrow_flags INTERFACE _GNU_SOURCE COLROW_VERSION="${PROJECT_VERSION}")
target_include_directories(colrow_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
# -ffp-contract=off: the numeric contract says where a multiplication and an addition are fused.
target_compile_options(colrow_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wvla $<$<BOOL:${COLROW_WERROR}>:-Werror>
    -ffp-contract=off -fno-math-errno $<$<CONFIG:Release>:-O2> $<$<CONFIG:Release>:-g1>)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    target_compile_options(colrow_flags INTERFACE -march=x86-64-v2)
endif()
if(COLROW_SANITIZE)
    target_compile_definitions(colrow_flags INTERFACE COLROW_SANITIZED)
    target_compile_options(colrow_flags INTERFACE -fsanitize=${COLROW_SANITIZE} -fno-omit-frame-pointer
        -O1 -fno-sanitize-recover=undefined)
    target_link_options(colrow_flags INTERFACE -fsanitize=${COLROW_SANITIZE})
endif()
if(COLROW_FUZZ)
    target_compile_options(colrow_flags INTERFACE -fsanitize=fuzzer-no-link -O2)
    target_compile_definitions(colrow_flags INTERFACE COLROW_FUZZING)
endif()

# assert() stays on in release builds: it guards against our own bugs (docs/decisions.md).
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-O3" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")

set_property(GLOBAL PROPERTY COLROW_LAYERS "")
function(colrow_layer name)
    cmake_parse_arguments(arg "" "WITHOUT" "DEPENDS;LIBS" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
    list(FILTER sources EXCLUDE REGEX "/src/cmd/main\\.c$")
    if(arg_WITHOUT)
        list(FILTER sources EXCLUDE REGEX "/${arg_WITHOUT}\\.c$")
    endif()
    set(visibility PUBLIC)
    if(sources)
        add_library(colrow_${name} STATIC ${sources})
    else()
        add_library(colrow_${name} INTERFACE)
        set(visibility INTERFACE)
    endif()
    target_link_libraries(colrow_${name} ${visibility} colrow_flags)
    foreach(dep IN LISTS arg_DEPENDS)
        target_link_libraries(colrow_${name} ${visibility} colrow_${dep})
    endforeach()
    if(arg_LIBS)
        target_link_libraries(colrow_${name} ${visibility} ${arg_LIBS})
    endif()
    set_property(GLOBAL APPEND PROPERTY COLROW_LAYERS colrow_${name})
endfunction()
