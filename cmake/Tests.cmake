# One program per test_*.c, linked with every layer; one CTest entry each, with its folder as label.
# Scripts (tests/**/test_*.sh, test_*.py) run with COLROW pointing at the binary. Exit 77 is a visible skip.
get_property(layers GLOBAL PROPERTY COLROW_LAYERS)
set(COLROW_SHARED ${PROJECT_SOURCE_DIR}/../shared)

if(NOT CMOCKA_FOUND)
    message(STATUS "cmocka is missing: tests are not built (apt-get install libcmocka-dev)")
    return()
endif()

# Sanitizers slow kernels down by an order of magnitude.
set(patience 300)
set(script_patience 600)
if(COLROW_SANITIZE)
    set(patience 1500)
    set(script_patience 1500)
endif()

if(NOT EXISTS ${PROJECT_SOURCE_DIR}/tests/e2e)
    message(STATUS "there are no tests in this source, which is that of the Python package")
    return()
endif()

function(colrow_test source label)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${layers} PkgConfig::CMOCKA m)
    target_compile_definitions(${name} PRIVATE SOURCE_DIR="${PROJECT_SOURCE_DIR}"
        SHARED_DIR="${COLROW_SHARED}" COLROW_BINARY="${PROJECT_BINARY_DIR}/colrow"
        FAULTS_LIBRARY="${PROJECT_BINARY_DIR}/tests/libinject_faults.so")
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    add_test(NAME ${label}/${name} COMMAND ${name})
    set_tests_properties(${label}/${name} PROPERTIES LABELS ${label} TIMEOUT ${patience} SKIP_RETURN_CODE 77)
    if(TARGET colrow)
        add_dependencies(${name} colrow)
    endif()
endfunction()

foreach(label unit kernels golden fuzz e2e python)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${label}/test_*.c)
    foreach(source IN LISTS sources)
        colrow_test(${source} ${label})
    endforeach()
    file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${label}/test_*.sh
        ${PROJECT_SOURCE_DIR}/tests/${label}/test_*.py)
    foreach(script IN LISTS scripts)
        get_filename_component(name ${script} NAME_WE)
        add_test(NAME ${label}/${name} COMMAND ${script})
        set_tests_properties(${label}/${name} PROPERTIES LABELS ${label} TIMEOUT ${script_patience} SKIP_RETURN_CODE 77
            ENVIRONMENT "COLROW=${PROJECT_BINARY_DIR}/colrow;BUILD_DIR=${PROJECT_BINARY_DIR};SOURCE_DIR=${PROJECT_SOURCE_DIR};SHARED_DIR=${COLROW_SHARED};SANITIZE=${COLROW_SANITIZE}")
    endforeach()
endforeach()

# What communicators promise they promise over each transport (tests/worlds.h).
# Where UCX is told its one interface, long messages have sockets of their own (comm/wire_stream.h).
foreach(way "ucx;all" "ucx_streams;lo" "nested;lo")
    list(GET way 0 way_name)
    list(GET way 1 device)
    string(REPLACE _streams "" transport ${way_name})
    foreach(name test_comm test_comm_failures)
        add_test(NAME unit/${name}_${way_name} COMMAND ${name})
        set_tests_properties(unit/${name}_${way_name} PROPERTIES LABELS unit TIMEOUT ${patience} SKIP_RETURN_CODE 77
            ENVIRONMENT "RANKS_TRANSPORT=${transport};UCX_NET_DEVICES=${device}")
    endforeach()
endforeach()

# Counts what every process of a server allocates, for tests/e2e/test_allocations.py. Sanitizers have allocators of
# their own.
if(NOT COLROW_SANITIZE)
    add_library(count_allocations MODULE ${PROJECT_SOURCE_DIR}/tests/e2e/count_allocations.c)
    set_target_properties(count_allocations PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests
        C_VISIBILITY_PRESET default)
    # Makes a call of a rank fail, or one of its threads hang.
    add_library(inject_faults MODULE ${PROJECT_SOURCE_DIR}/tests/faults/inject_faults.c)
    set_target_properties(inject_faults PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests
        C_VISIBILITY_PRESET default)
    target_link_libraries(inject_faults PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
endif()

# The server that tests/e2e/test_http_*.py talk to.
add_executable(http_echo ${PROJECT_SOURCE_DIR}/tests/e2e/http_echo.c)
target_link_libraries(http_echo PRIVATE ${layers} m)
set_target_properties(http_echo PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)

# The switch between the nodes of tests/e2e/test_cluster_*.py, with wires that delay and lose.
add_executable(bad_wire ${PROJECT_SOURCE_DIR}/tests/e2e/bad_wire.c)
target_link_libraries(bad_wire PRIVATE colrow_flags)
set_target_properties(bad_wire PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_executable(endless_barriers ${PROJECT_SOURCE_DIR}/tests/e2e/endless_barriers.c)
target_link_libraries(endless_barriers PRIVATE libcolrow colrow_flags)
set_target_properties(endless_barriers PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
