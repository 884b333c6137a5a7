"""Presets: named sets of choices, which every value of theirs tells apart."""

import pytest

from BSAFusionLib.presets import PRESET_FIELDS, PRESETS, preset_of
from BSAFusionLib.settings import Settings, options


def settings_of(preset, **changes):
    return vars(Settings(**{**preset.settings, **changes}))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_recognized_by_its_settings_and_by_nothing_else(name):
    preset = PRESETS[name]
    assert preset.name == name
    assert preset_of(settings_of(preset)) is preset
    assert preset_of(settings_of(preset, device="cuda:7", modality="ct", weights="mine.safetensors")) is preset
    assert preset_of(settings_of(preset, strength=0.3)) is None


def test_the_defaults_are_a_preset():
    assert preset_of(vars(Settings())) is PRESETS["default"]


def test_a_preset_determines_all_its_fields_and_only_options_of_the_command_line():
    assert set(PRESET_FIELDS) <= set(options())
    for preset in PRESETS.values():
        assert tuple(preset.settings) == PRESET_FIELDS
