# Writes OUT, if its contents change. From git where there is a repository, else from .commit, which `git archive` fills
# in; empty where neither knows (a copied folder).
cmake_minimum_required(VERSION 3.25)
set(commit "")
if(EXISTS ${SOURCE_DIR}/.git)
    execute_process(COMMAND git -C ${SOURCE_DIR} rev-parse --short=10 HEAD
        OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND git -C ${SOURCE_DIR} diff --quiet HEAD
        RESULT_VARIABLE differs OUTPUT_QUIET ERROR_QUIET)
    if(commit AND differs EQUAL 1)
        string(APPEND commit "+")
    endif()
elseif(EXISTS ${SOURCE_DIR}/.commit)
    file(STRINGS ${SOURCE_DIR}/.commit lines LIMIT_COUNT 1 REGEX "^[0-9a-f]+$")
    list(APPEND lines "")
    list(GET lines 0 commit)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT
"// Written by cmake/WriteCommit.cmake.\n#include \"cmd/build_commit.h\"\n\nconst char build_commit[] = \"${commit}\";\n")
