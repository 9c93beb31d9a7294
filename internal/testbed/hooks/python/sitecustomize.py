# Written by `upgrademock exec` for the length of a run; --no-hooks goes without.
#
# libcurl reads no variable that names the authorities to trust (only the command curl does), so PycURL handles get them when they
# are made. A program that sets CAINFO itself has its way. For Python 2 and 3 and every PycURL; whatever goes wrong in
# here, the program runs as it would without.
import os
import sys


def trust(pycurl):
    bundle = os.environ.get("SSL_CERT_FILE")
    plain = pycurl.Curl

    def with_authorities(handle):
        try:
            if bundle:
                handle.setopt(pycurl.CAINFO, bundle)
        except Exception:
            pass  # a libcurl that takes no file
        return handle

    def init(self, *args, **kwargs):
        plain.__init__(self, *args, **kwargs)
        with_authorities(self)

    def reset(self, *args):
        result = plain.reset(self, *args)
        with_authorities(self)
        return result

    class Maker(type):
        """The type of what stands for plain where nothing can be derived from it: it makes plain handles."""

        def __call__(cls, *args, **kwargs):
            return with_authorities(plain(*args, **kwargs))

        def __instancecheck__(cls, handle):
            return isinstance(handle, plain)

        def __getattr__(cls, name):
            return getattr(plain, name)

    try:
        pycurl.Curl = type(plain)("Curl", (plain,), {"__init__": init, "reset": reset, "__module__": "pycurl"})
    except TypeError:  # before 7.45; such a handle forgets the authorities when it is reset
        pycurl.Curl = Maker("Curl", (object,), {"__doc__": plain.__doc__, "__module__": "pycurl"})


def try_to_trust(pycurl):
    try:
        trust(pycurl)
    except Exception:
        pass


class Finder(object):
    """Finds pycurl where the other finders do, and has it trust."""

    def find_spec(self, name, path=None, target=None):
        if name != "pycurl":
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            if not hasattr(finder, "find_spec"):
                return None
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self.follow(spec)
                return spec
        return None

    def follow(self, spec):
        try:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                try_to_trust(module)

            spec.loader.exec_module = exec_module
        except Exception:
            pass  # a loader that cannot be followed

    def find_module(self, name, path=None):  # Python 2
        if name != "pycurl":
            return None
        try:
            import imp

            opened = imp.find_module(name, path)[0]
            if opened:
                opened.close()
            return self
        except Exception:
            return None

    def load_module(self, name):
        import imp

        opened, where, kind = imp.find_module(name)
        try:
            module = imp.load_module(name, opened, where, kind)
        finally:
            if opened:
                opened.close()
        try_to_trust(module)
        return module


def go_on():
    """Takes this directory out of the way, and runs the sitecustomize that this one hides."""
    here = os.path.realpath(os.path.dirname(__file__))
    rest = [p for p in sys.path if os.path.realpath(p) != here]
    if len(rest) == len(sys.path):
        return
    sys.path[:] = rest
    ours = Finder.module = sys.modules.pop("sitecustomize")  # Python 2 empties a module that nothing refers to
    try:
        __import__("sitecustomize")
    except ImportError:
        if str(sys.exc_info()[1]).replace("'", "") != "No module named sitecustomize":  # it is there, and misses something
            raise
        sys.modules["sitecustomize"] = ours


sys.meta_path.insert(0, Finder())
go_on()
