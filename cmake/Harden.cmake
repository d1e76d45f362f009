# Files from anywhere are parsed here, so release builds carry what compiler and loader offer against memory errors.
# Measured to cost nothing in decode, prefill and load (docs/decisions.md). Sanitizers bring their own.
include(CheckCCompilerFlag)
include(CheckPIESupported)

if(COLROW_HARDEN AND NOT COLROW_SANITIZE)
    set(flags -fstack-protector-strong)
    foreach(flag -fstack-clash-protection -fcf-protection)
        string(MAKE_C_IDENTIFIER "has${flag}" has)
        check_c_compiler_flag(${flag} ${has})
        if(${has})
            list(APPEND flags ${flag})
        endif()
    endforeach()
    # Level 3 (sizes known at run time) is gcc's from 12 and clang's from 9 on; it needs optimisation.
    set(fortify 3)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 12)
        set(fortify 2)
    endif()
    target_compile_options(colrow_flags INTERFACE ${flags}
        $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=${fortify}>)
    target_link_options(colrow_flags INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()

# The compiler gets -fPIE anyway (CMAKE_POSITION_INDEPENDENT_CODE); this gives the linker -pie.
check_pie_supported(LANGUAGES C)
