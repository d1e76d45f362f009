# The manual page and what shells complete: the program writes them from its own tables of commands and flags.
set(manual ${PROJECT_BINARY_DIR}/manual)
set(manual_files "")
function(colrow_manual form file folder)
    add_custom_command(OUTPUT ${manual}/${file}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${manual}
        COMMAND $<TARGET_FILE:colrow> help --${form} > ${manual}/${file}
        DEPENDS colrow VERBATIM COMMENT "Writing ${file}")
    set(manual_files ${manual_files} ${manual}/${file} PARENT_SCOPE)
    install(FILES ${manual}/${file} DESTINATION ${folder})
endfunction()

# Where packages of a system have theirs: Debian's in share/zsh/vendor-completions.
set(COLROW_ZSH_COMPLETIONS ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Folder below the prefix for zsh's completions")

colrow_manual(man colrow.1 ${CMAKE_INSTALL_MANDIR}/man1)
colrow_manual(bash colrow ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
colrow_manual(zsh _colrow ${COLROW_ZSH_COMPLETIONS})
colrow_manual(fish colrow.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
add_custom_target(manual ALL DEPENDS ${manual_files})
