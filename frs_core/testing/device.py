"""What every input device keeps to, plugged in or not."""

from frs_core.devices.base import ControlChange, DeviceNotice, InputDevice
from frs_core.runtime.registry import resolve


class InputDeviceContract:
    """Inherit it and say how your device is made; nothing needs to be plugged in."""

    def make(self) -> InputDevice:
        """Return the back end."""
        raise NotImplementedError

    def test_its_controls_carry_its_prefix_and_its_bindings_name_them(self) -> None:
        device = self.make()
        try:
            assert device.kind
            assert device.title
            assert device.prefix not in ("", "key")
            assert len(set(device.controls)) == len(device.controls) > 0
            assert all(control.startswith(f"{device.prefix}:") for control in device.controls)
            assert {c for bound in device.bindings.values() for c in bound} <= set(device.controls)
        finally:
            device.close()

    def test_what_its_bindings_do_are_actions_of_the_cockpit(self) -> None:
        device = self.make()
        try:
            unknown = device.bindings.keys() - resolve("table", "app.actions:ACTIONS", {}).keys()
            assert not unknown, f"The cockpit has no action {sorted(unknown)}; app/actions.py lists them."
        finally:
            device.close()

    def test_it_can_be_asked_at_any_time(self) -> None:
        device = self.make()
        try:
            for event in device.poll():
                assert isinstance(event, ControlChange | DeviceNotice)
                assert event.device == device.kind
            assert isinstance(device.names, tuple)
            assert device.status
            assert set(device.levels) <= set(device.controls)
            assert all(0.0 <= level <= 1.0 for level in device.levels.values())
        finally:
            device.close()

    def test_closed_it_says_nothing_more_and_closing_twice_is_safe(self) -> None:
        device = self.make()
        device.close()
        device.close()
        assert not [event for event in device.poll() if isinstance(event, ControlChange)]
