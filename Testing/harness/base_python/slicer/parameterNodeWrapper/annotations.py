"""Annotations of a parameter besides its type: default, limits, and its display in a widget."""

import typing
from dataclasses import dataclass
from typing import Annotated


class Default:
    """The value of a parameter that is not set: given, or made by a function each time."""

    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


@dataclass
class Label:
    label: str


class Validator:
    """An annotation whose validate(value) raises where a value must not be written."""

    def validate(self, value):
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value):
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value):
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type {self.classtype}, not {type(value)}: {value!r}")


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass
class Choice(Validator):
    choices: list

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value!r}")


@dataclass
class Exclude(Validator):
    excludedValues: list

    def validate(self, value):
        if value in self.excludedValues:
            raise ValueError(f"Value must be none of {self.excludedValues}, is {value!r}")


@dataclass
class RangeBounds(Validator):
    minimum: float
    maximum: float

    def validate(self, value):
        if not (self.minimum <= value.minimum and value.maximum <= self.maximum):
            raise ValueError(f"Range must lie in [{self.minimum}, {self.maximum}], is {value}")


def splitAnnotations(datatype):
    """Annotated[int, a, b] -> (int, (a, b)); int -> (int, ())."""
    plain, *annotations = typing.get_args(Annotated[datatype, None])
    return plain, tuple(annotations[:-1])


def unannotatedType(datatype):
    return splitAnnotations(datatype)[0]


def findFirstAnnotation(annotations, annotationType):
    return next((annotation for annotation in annotations if isinstance(annotation, annotationType)), None)
