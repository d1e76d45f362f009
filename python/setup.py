"""Builds the wheel: CMake builds libcolrow and the program from the repository around this folder, and both go into the
package. COLROW_BUILD_DIR names a build that is there already; else one is made in build/wheel of the repository."""
import os
import shutil
import subprocess
import sys

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SONAME = "libcolrow.so.0"


def run(*command):
    """Runs a command of the build; says which one failed."""
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"colrow: {' '.join(command)} failed: {error}; tools/setup.sh installs what the build needs") from None


def build_native():
    """Returns the build folder, with library and program made."""
    if not os.path.exists(os.path.join(ROOT, "CMakeLists.txt")):
        raise SystemExit(f"colrow: {ROOT} has no CMakeLists.txt; install from the python/ folder of colrow's repository")
    folder = os.environ.get("COLROW_BUILD_DIR")
    if not folder:
        folder = os.path.join(ROOT, "build", "wheel")
        run("cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", folder, "--target", "libcolrow", "colrow", "-j", os.environ.get("JOBS", str(os.cpu_count() or 1)))
    return folder


class BuildWithNative(build_py):
    """Puts library and program beside the Python files."""

    def run(self):
        super().run()
        if self.editable_mode:
            return  # then COLROW_LIBRARY says where the library is
        folder = build_native()
        native = os.path.join(self.build_lib, "colrow", "native")
        for source, place in ((SONAME, "lib"), ("colrow", "bin")):
            os.makedirs(os.path.join(native, place), exist_ok=True)
            shutil.copy2(os.path.realpath(os.path.join(folder, source)), os.path.join(native, place, source))


class NativeDistribution(Distribution):
    """Not pure: the wheel is for one platform."""

    def has_ext_modules(self):
        return True


class AnyPython(bdist_wheel):
    """Through ctypes any Python 3 will do."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithNative, "bdist_wheel": AnyPython}, distclass=NativeDistribution)
