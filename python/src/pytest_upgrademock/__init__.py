"""A local emulator of the Odoo Database Upgrade platform, for tests.

The plugin (``pytest_upgrademock.plugin``) has the fixture ``upgrademock``, which is an :class:`Upgrademock`.
"""

from .emulator import ControlError, Scenario, StartError, UnmetExpectations, Upgrademock

__all__ = ["ControlError", "Scenario", "StartError", "UnmetExpectations", "Upgrademock"]
