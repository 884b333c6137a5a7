"""PySide6 under PythonQt's rules, as the module `qt`: Qt properties are attributes and nothing unknown can be set.

Slicer's Python reaches Qt through PythonQt (https://github.com/commontk/PythonQt). Its rules, laid over PySide6's own
classes, so that widgets made by Qt itself (from a .ui file, say) follow them too:

- a Qt property is an attribute, read and written (`lineEdit.text = "a"`), and hides the getter of the same name; its
  setter, and getters of another name (`isChecked()`), stay methods;
- `name` is `objectName`; dynamic properties and children, by their object name, are attributes too;
- writing what does not exist, or over a method or signal, raises AttributeError, unless the class was derived in
  Python;
- `sender.connect("clicked(bool)", function)`, `sender.connect("clicked()", receiver, "show()")`, and so disconnect;
- every class of QtCore, QtGui, QtWidgets... and every name of the namespace Qt lies flat in `qt`; enumerations are
  integers.

Stricter than PythonQt, which logs it and answers False: connecting a signal that does not exist raises ValueError. And
a signal is sent by its emit(), not by calling it.
More lenient: isinstance follows C++'s inheritance, conversions of arguments are PySide6's, and what a stand-in
overrides (sizeHint) is a method of it.
"""

import inspect
import os
import types
from collections.abc import Callable
from functools import partial, partialmethod
from typing import Any

os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "3")  # enumerations as IntEnum and IntFlag; read when PySide6 loads

from PySide6 import QtCore, QtGui, QtSvg, QtUiTools, QtWidgets
from shiboken6 import getCppPointer

_modules = [QtCore, QtGui, QtSvg, QtUiTools, QtWidgets]

# As PySide6 has them, before the rules.
_read_property = QtCore.QObject.property
_write_property = QtCore.QObject.setProperty
_plain_connect, _plain_disconnect = QtCore.QObject.connect, QtCore.QObject.disconnect
_plain_get_attribute = QtCore.QObject.__getattribute__


class QtProperty:
    """A Qt property as an attribute of the object; on the class it is what PySide6 has there, a method as a rule."""

    def __init__(self, cls: type, prop: QtCore.QMetaProperty) -> None:
        self.name, self.type_name = prop.name(), prop.typeName()
        self.writable, self.is_enum = prop.isWritable(), prop.isEnumType()
        self.on_class = inspect.getattr_static(cls, self.name, None)
        if isinstance(self.on_class, QtProperty):
            self.on_class = self.on_class.on_class
        capital = self.name[0].upper() + self.name[1:]
        others = [getattr(cls, prefix + capital, None) for prefix in ("is", "has")]
        own = getattr(cls, self.name, None) if self.on_class is not None else None
        # PySide6's getter knows the type of flags, which its property() does not convert. And it is not virtual, which
        # matters for sizeHint: C++ looks for a Python method of that name, finds this attribute, and would come back
        # for ever.
        static = isinstance(inspect.getattr_static(cls, self.name, None), (staticmethod, types.BuiltinFunctionType))
        self.getter = next((getter for getter in [own if not static else None, *others] if callable(getter)), None)
        self.setter = getattr(cls, "set" + capital, None)

    def __get__(self, instance: QtCore.QObject | None, owner: type) -> Any:
        if instance is None:
            return self if self.on_class is None else self.on_class.__get__(None, owner)
        return self.getter(instance) if self.getter else _read_property(instance, self.name)

    def __set__(self, instance: QtCore.QObject, value: Any) -> None:
        if not self.writable:
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} object is not writable")
        if self.type_name == "QString" and not isinstance(value, str):
            value = str(value)
        elif self.type_name == "int" and isinstance(value, float):
            value = int(value)
        elif self.type_name == "bool" and not isinstance(value, bool):
            value = bool(value)
        try:
            if self.is_enum and type(value) is int:
                value = type(self.__get__(instance, type(instance)))(value)
            if self.setter is None or (self.is_enum and isinstance(value, str)):
                written = _write_property(instance, self.name, value)
            else:
                written = self.setter(instance, value) is not False
        except (TypeError, ValueError):
            written = False
        if not written:
            raise AttributeError(
                f"Property '{self.name}' of type '{self.type_name}' does not accept an object of type "
                f"{type(value).__name__} ({value!r})"
            )


class _ObjectName:
    """PythonQt's other word for the property objectName, on every object."""

    def __get__(self, instance: QtCore.QObject | None, owner: type) -> Any:
        return self if instance is None else instance.objectName

    def __set__(self, instance: QtCore.QObject, value: str) -> None:
        instance.objectName = value


def is_derived(cls: type) -> bool:
    """Return True for a Qt class that was derived in Python, not one of Qt's own or a stand-in for a C++ class."""
    return not cls.__module__.startswith("PySide6.") and not cls.__dict__.get("stands_for_cpp", False)


def stands_for_cpp(cls: type) -> type:
    """Class decorator: this class stands in for one of C++, so that users may not add attributes to its objects."""
    cls.stands_for_cpp = True
    return cls


def _set_attribute(self: QtCore.QObject, name: str, value: Any) -> None:
    existing = inspect.getattr_static(type(self), name, None)
    if isinstance(existing, QtCore.Property):
        if existing.fset is None:
            raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")
        existing.fset(self, value)
    elif hasattr(type(existing), "__set__"):
        existing.__set__(self, value)
    elif is_derived(type(self)) or name.startswith("_"):  # underscore: what a stand-in keeps for itself
        self.__dict__[name] = value
    elif isinstance(existing, QtCore.Signal) and isinstance(value, QtCore.SignalInstance):
        self.__dict__[name] = value  # by PySide6 itself, which keeps a signal that was asked for
    elif isinstance(existing, QtCore.Signal):
        raise AttributeError(f"Signal '{name}' can not be overwritten on {type(self).__name__} object")
    elif existing is not None:
        raise AttributeError(f"Slot '{name}' can not be overwritten on {type(self).__name__} object")
    elif _read_property(self, name) is not None:
        _write_property(self, name, value)
    elif isinstance(value, QtCore.QObject) and value.objectName == name and self.isAncestorOf(value):
        self.__dict__[name] = value  # by PySide6's own loader of .ui files, which keeps alive what Python made
    else:
        raise AttributeError(
            f"'{name}' does not exist on {type(self).__name__}"
            " and creating new attributes on C++ objects is not allowed"
        )


def _get_attribute(self: QtCore.QObject, name: str, plain: Callable = _plain_get_attribute) -> Any:
    if name in ("connect", "disconnect"):  # PySide6 has its own, found before anything put on the class
        return types.MethodType({"connect": _connect, "disconnect": _disconnect}[name], self)
    return plain(self, name)


def _missing_attribute(self: QtCore.QObject, name: str) -> Any:
    if not name.startswith("__"):
        value = _read_property(self, name)
        if value is not None:
            return value
        for child in QtCore.QObject.children(self):
            if child.objectName == name:
                return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


def _plug(sender: QtCore.QObject, signature: str) -> tuple[Callable, Callable]:
    """Return the signal of a signature such as "valueChanged(int)"; raise ValueError where there is none."""
    text = signature.replace("const", "").replace("&", "").replace(" ", "")
    declared = getattr(type(sender), "signals", {}).get(text)  # the stand-ins', whose arguments Qt does not know
    if declared:
        signal = getattr(sender, declared)
        return signal.connect, signal.disconnect
    if sender.metaObject().indexOfSignal(text) < 0:
        raise ValueError(f"{type(sender).__name__} has no signal {signature}")
    text = QtCore.SIGNAL(text)
    return partial(_plain_connect, sender, text), partial(_plain_disconnect, sender, text)


def _number_of_arguments(signature: str) -> int:
    arguments = signature.partition("(")[2].rpartition(")")[0].strip()
    return len(arguments.split(",")) if arguments else 0


_connections: dict[tuple, Callable] = {}


def _connect(self: QtCore.QObject, signature: Any, receiver: Any, slot: Any = None) -> bool:
    """PythonQt's connect: the receiver gets as many of the signature's arguments as it takes."""
    if isinstance(
        signature, QtCore.QObject
    ):  # connect(sender, signal, function), which PySide6 itself calls for timers
        return bool(_plain_connect(signature, receiver, slot))
    plug_in, _ = _plug(self, signature)
    function = getattr(receiver, slot.partition("(")[0]) if slot else receiver
    given = min(_number_of_arguments(signature), _number_of_arguments(slot) if slot else 99)
    taken = _accepted(function)

    def call(*arguments: Any) -> None:
        function(*arguments[: min(given, taken)])

    key = (_address(self), signature, _identity(function))
    _connections[key] = call
    self.destroyed.connect(lambda *_: _connections.pop(key, None))
    plug_in(call)
    return True


def _disconnect(self: QtCore.QObject, signature: str, receiver: Any = None, slot: str | None = None) -> bool:
    """PythonQt's disconnect: of one receiver, or of all that were connected through connect()."""
    _, pull_out = _plug(self, signature)
    function = getattr(receiver, slot.partition("(")[0]) if slot else receiver
    keys = [
        key
        for key in _connections
        if key[:2] == (_address(self), signature) and (function is None or key[2] == _identity(function))
    ]
    for key in keys:
        pull_out(_connections.pop(key))
    return bool(keys)


def _identity(function: Callable) -> Any:
    bound_to = getattr(function, "__self__", None)
    return (_address(bound_to), function.__name__) if bound_to is not None else id(function)


def _address(obj: Any) -> int:
    """Return a key that identifies an object, also a Qt object that Python has wrapped again."""
    return getCppPointer(obj)[0] if isinstance(obj, QtCore.QObject) else id(obj)


def _accepted(function: Callable) -> int:
    """Return the number of positional arguments of a callable; all that are given for one from C++."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 99
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 99
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _class_name(self: QtCore.QObject) -> str:
    return self.metaObject().className()


def _contents(module: types.ModuleType) -> dict[str, Any]:
    # PySide6 makes a class when it is first asked for by name; vars(module) lacks those not yet made.
    return {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}


def _lay_the_rules() -> None:
    classes = {
        value
        for module in _modules
        for value in _contents(module).values()
        if isinstance(value, type) and issubclass(value, QtCore.QObject)
    }
    found = []
    for cls in classes:
        meta = cls.staticMetaObject
        for index in range(meta.propertyCount()):
            prop = meta.property(index)
            if index >= meta.propertyOffset() or prop.name() in vars(cls):
                found.append((cls, QtProperty(cls, prop)))
    for cls, prop in found:  # only now, since the getters above are looked up on the classes
        setattr(cls, prop.name, prop)
    for cls in classes:
        cls.__setattr__ = (
            _set_attribute  # every class of PySide6 has its own, so that one on QObject would not be found
        )
        if cls is not QtCore.QObject and "__getattribute__" in vars(cls):  # QProcess's own, for one
            cls.__getattribute__ = partialmethod(_get_attribute, plain=cls.__getattribute__)
    QtCore.QObject.__getattr__ = _missing_attribute
    QtCore.QObject.name = _ObjectName()
    QtCore.QObject.className = _class_name
    QtCore.QObject.__getattribute__ = _get_attribute


@stands_for_cpp
class QMenu(QtWidgets.QMenu):
    """Takes anything for its title, as PythonQt does for texts; Slicer's developer section gives it a Python object."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(value if isinstance(value, (str, QtWidgets.QWidget)) else str(value) for value in arguments))


def _make_module() -> types.ModuleType:
    qt = types.ModuleType("qt", __doc__)
    for module in _modules:
        for name, value in _contents(module).items():
            setattr(qt, name, value)
    qt.QMenu = QMenu
    return qt


_lay_the_rules()
qt = _make_module()
