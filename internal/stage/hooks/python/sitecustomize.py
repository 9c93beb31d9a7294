# Written by `upgrademock exec` for the length of a run; --no-hooks goes without.
#
# libcurl reads no variable that names the authorities to trust (only the command curl does), so PycURL handles are
# told when they are made. A program that sets CAINFO itself has its way. For Python 2.7 and 3.
import os
import sys


def trust(pycurl):
    bundle = os.environ.get("SSL_CERT_FILE")
    plain = pycurl.Curl
    if not bundle or not isinstance(plain, type):  # before 7.43 it is a function, and reset cannot be followed
        return

    class Curl(plain):
        def __init__(self, *args, **kwargs):
            plain.__init__(self, *args, **kwargs)
            self.setopt(pycurl.CAINFO, bundle)

        def reset(self):
            plain.reset(self)
            self.setopt(pycurl.CAINFO, bundle)

    pycurl.Curl = Curl


class Finder(object):
    """Finds pycurl once, as if it were not there itself, and has it trust."""

    def find_spec(self, name, path=None, target=None):
        if name != "pycurl":
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                trust(module)

            spec.loader.exec_module = exec_module
        return spec

    def find_module(self, name, path=None):  # Python 2
        return self if name == "pycurl" else None

    def load_module(self, name):
        sys.meta_path.remove(self)
        __import__(name)
        trust(sys.modules[name])
        return sys.modules[name]


def go_on():
    """Runs the sitecustomize that this one hides."""
    path, ours = sys.path[:], sys.modules.pop("sitecustomize")
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in path if os.path.abspath(p) != here]
    try:
        __import__("sitecustomize")
    except ImportError:
        sys.modules["sitecustomize"] = ours
    finally:
        sys.path[:] = path


sys.meta_path.insert(0, Finder())
go_on()
