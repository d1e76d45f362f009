# Only the files that end in an ISA's name get its flags; everything else runs on x86-64-v2.
function(colrow_isa_flags)
    if(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
        return()
    endif()
    # Unrolled kernels under ubsan take compilers minutes a file. They keep asan and tsan; what ubsan would see in
    # them, guard pages and the comparison with the reference see as well.
    set(effort -O3)
    # Under tsan they are left out: each is a function of one thread, and with every load watched a golden takes minutes.
    # The reference is watched, so COLROW_ISA=reference shows who touches what another thread is still writing.
    if(COLROW_SANITIZE STREQUAL "thread")
        set(effort -O3 -fno-sanitize=thread)
    elseif(COLROW_SANITIZE)
        set(effort -O1 -fno-sanitize=undefined)
    endif()
    set(avx2 -march=x86-64-v2 -mavx -mavx2 -mfma -mf16c -mbmi -mbmi2 ${effort})
    set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
    set(avx512bf16 ${avx512} -mavx512bf16)
    set(amx ${avx512bf16} -mamx-tile -mamx-bf16)
    # The reference computes most of what kernel tests wait for: without optimising, for minutes.
    if(COLROW_SANITIZE)
        file(GLOB reference CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cpu/reference_*.c
             ${PROJECT_SOURCE_DIR}/src/device/number*.c)
        set_source_files_properties(${reference} PROPERTIES COMPILE_OPTIONS -O2)
    endif()
    foreach(isa avx2 avx512 avx512bf16 amx)
        file(GLOB_RECURSE files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cpu/x86/*_${isa}.c)
        if(files)
            set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS "${${isa}}")
        endif()
    endforeach()
endfunction()
