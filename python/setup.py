"""Builds the wheel: CMake builds libcolrow and the program from the repository around this folder, and both go into the
package. COLROW_BUILD_DIR names a build that is there already; else one is made in build/wheel of the repository. A
source distribution carries what CMake needs in its folder source/."""
import os
import shutil
import subprocess
import sys

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = os.path.dirname(os.path.abspath(__file__))
CARRIED = os.path.join(HERE, "source")  # in a source distribution
ROOT = CARRIED if os.path.isdir(CARRIED) else os.path.dirname(HERE)
NEEDED = ("CMakeLists.txt", "LICENSE", "README.md", "cmake", "examples", "include", "src")
SONAME = "libcolrow.so.0"


def run(*command):
    """Runs a command of the build; says which one failed."""
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"colrow: {' '.join(command)} failed: {error}; tools/setup.sh installs what the build "
                         "needs") from None


def build_native():
    """Returns the build folder, with library and program made."""
    if not os.path.exists(os.path.join(ROOT, "CMakeLists.txt")):
        raise SystemExit(f"colrow: {ROOT} has no CMakeLists.txt; install from the python/ folder of colrow's "
                         "repository")
    folder = os.environ.get("COLROW_BUILD_DIR")
    if not folder:
        folder = os.path.join(ROOT, "build", "wheel")
        run("cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release")
    jobs = os.environ.get("JOBS", str(os.cpu_count() or 1))
    run("cmake", "--build", folder, "--target", "libcolrow", "colrow", "-j", jobs)
    return folder


class BuildWithNative(build_py):
    """Puts library and program beside the Python files."""

    def run(self):
        shutil.rmtree(self.build_lib, ignore_errors=True)  # modules that are gone do not come back
        super().run()
        if self.editable_mode:
            return  # then COLROW_LIBRARY says where the library is
        folder = build_native()
        native = os.path.join(self.build_lib, "colrow", "native")
        for source, place in ((SONAME, "lib"), ("colrow", "bin")):
            os.makedirs(os.path.join(native, place), exist_ok=True)
            shutil.copy2(os.path.realpath(os.path.join(folder, source)), os.path.join(native, place, source))


class SourceWithNative(sdist):
    """Adds what CMake builds library and program from, and which commit it is."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        place = os.path.join(base_dir, "source")
        for name in NEEDED:
            whole = os.path.join(ROOT, name)
            if os.path.isdir(whole):
                shutil.copytree(whole, os.path.join(place, name), ignore=shutil.ignore_patterns("__pycache__"))
            elif os.path.exists(whole):
                os.makedirs(place, exist_ok=True)
                shutil.copy2(whole, place)
        with open(os.path.join(place, ".commit"), "w", encoding="ascii") as file:
            file.write(commit_line())


def commit_line():
    """Returns what cmake/WriteCommit.cmake reads where there is no repository: commit and date; "": nobody knows."""
    carried = os.path.join(ROOT, ".commit")
    if ROOT == CARRIED and os.path.exists(carried):
        with open(carried, encoding="ascii") as file:
            return file.read()
    try:
        return subprocess.run(["git", "-C", ROOT, "log", "-1", "--abbrev=10", "--format=%h %cs"], check=True,
                              capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


class NativeDistribution(Distribution):
    """Not pure: the wheel is for one platform."""

    def has_ext_modules(self):
        return True


class AnyPython(bdist_wheel):
    """Through ctypes any Python 3 will do."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithNative, "bdist_wheel": AnyPython, "sdist": SourceWithNative},
      distclass=NativeDistribution)
