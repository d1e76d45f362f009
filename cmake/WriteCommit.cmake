# Writes OUT, if its contents change. From git where there is a repository, else from .commit, which `git archive` fills
# in; empty where neither knows (a copied folder).
cmake_minimum_required(VERSION 3.25)
set(commit "")
set(date "")
if(EXISTS ${SOURCE_DIR}/.git)
    execute_process(COMMAND git -C ${SOURCE_DIR} log -1 --abbrev=10 "--format=%h %cs"
        OUTPUT_VARIABLE line OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND git -C ${SOURCE_DIR} diff --quiet HEAD
        RESULT_VARIABLE differs OUTPUT_QUIET ERROR_QUIET)
elseif(EXISTS ${SOURCE_DIR}/.commit)
    file(STRINGS ${SOURCE_DIR}/.commit line LIMIT_COUNT 1)
endif()
if("${line}" MATCHES "^([0-9a-f]+) ([0-9]+-[0-9]+-[0-9]+)$")
    set(commit ${CMAKE_MATCH_1})
    set(date ${CMAKE_MATCH_2})
    if("${differs}" STREQUAL "1")
        string(APPEND commit "+")
    endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT
"// Written by cmake/WriteCommit.cmake.
#include \"cmd/build_commit.h\"

const char build_commit[] = \"${commit}\";
const char build_date[] = \"${date}\";
")
