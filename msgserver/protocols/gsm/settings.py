"""The TOML table of a GSM modem."""

from __future__ import annotations

from typing import Literal

import msgspec

from msgserver.config import Secret


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[connector.modem1]`` with ``type = "gsm"``; durations in seconds."""

    device: str  # "/dev/ttyUSB0", a pattern "/dev/ttyUSB*", or an endpoint "tcp:10.0.0.5:2000" (ser2net)
    imei: str = ""  # the modem to take, where several match the pattern or the device's name changes
    baud: int = 115200
    rtscts: bool = False  # hardware flow control
    pin: Secret | None = None
    service_centre: str = ""
    storage: Literal["SM", "ME", "MT"] = "SM"
    delivery: Literal["stored", "direct"] = "stored"
    languages: tuple[str, ...] = ()  # national language tables that may be used, e.g. ["turkish"]
    max_parts: int = 6
    reference_bits: Literal[8, 16] = 8
    receipts: bool = True
    validity: float = 86400.0
    flash_urgent: bool = False
    daily_cap: int = 0  # texts (parts) a day and SIM card; 0: none
    stand_in: bool = True  # carry what waits for another modem that cannot
    credit_code: str = ""  # USSD, e.g. "*100#"
    credit_pattern: str = r"\d+[.,]\d+"
    credit_low: float = 0.0  # at or below which the status asks for more
    credit_every: float = 86400.0
    check_every: float = 30.0
    answer_within: float = 60.0  # for the network to take one part
    reset_after: int = 3  # times in a row that the modem hung, after which it is restarted; 0: never
