"""INT 21h: vectors, dates, versions, countries, errors, and where DOS's own data are."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos import country, tables
from runtime.personalities.dos.errors import FILE_NOT_FOUND, INVALID_FUNCTION, DosError, about
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel


@service(0x25)
def set_vector(dos: Kernel, call: Call) -> None:
    """Let interrupt AL go to DS:DX."""
    dos.memory.put32(4 * call.al, call.ds << 16 | call.dx)


@service(0x35)
def get_vector(dos: Kernel, call: Call) -> None:
    """ES:BX = where interrupt AL goes."""
    far = dos.memory.u32(4 * call.al)
    call.es, call.bx = far >> 16, far & 0xFFFF


@service(0x2A)
def get_date(dos: Kernel, call: Call) -> None:
    """CX, DH, DL = year, month, day; AL = day of the week, 0 Sunday."""
    now, _ = dos.calendar.parts()
    call.cx, call.dh, call.dl = now.tm_year, now.tm_mon, now.tm_mday
    call.al = (now.tm_wday + 1) % 7


@service(0x2B)
def set_date(dos: Kernel, call: Call) -> None:
    """Set the guest's date to CX, DH, DL; AL = FFh if there is no such day."""
    call.al = 0 if dos.calendar.set_date(call.cx, call.dh, call.dl) else 0xFF


@service(0x2C)
def get_time(dos: Kernel, call: Call) -> None:
    """CH, CL, DH, DL = hour, minute, second, hundredths."""
    now, hundredths = dos.calendar.parts()
    call.ch, call.cl, call.dh, call.dl = now.tm_hour, now.tm_min, min(now.tm_sec, 59), hundredths
    call.al = 0


@service(0x2D)
def set_time(dos: Kernel, call: Call) -> None:
    """Set the guest's time of day; AL = FFh if there is no such time."""
    is_set = dos.calendar.set_time(call.ch, call.cl, call.dh, call.dl)
    call.al = 0 if is_set else 0xFF


@service(0x2E)
def set_verify(dos: Kernel, call: Call) -> None:
    """Remember whether writes shall be verified."""
    dos.verify = bool(call.al & 1)


@service(0x54)
def get_verify(dos: Kernel, call: Call) -> None:
    """AL = whether writes shall be verified."""
    call.al = int(dos.verify)


@service(0x30)
def version(dos: Kernel, call: Call) -> None:
    """AL.AH = version of DOS; BH = maker, or where DOS is (AL=1 before)."""
    call.bh = 0 if call.al == 1 else 0xFF
    call.bl, call.cx = 0, 0
    major, minor = dos.version
    call.ax = minor << 8 | major


@service(0x33)
def control(dos: Kernel, call: Call) -> None:
    """AL=0 to 2: Ctrl-Break check; 5: boot drive; 6: true version."""
    if call.al == 0:
        call.dl = int(dos.break_check)
    elif call.al == 1:
        dos.break_check = bool(call.dl & 1)
    elif call.al == 2:
        before, dos.break_check = dos.break_check, bool(call.dl & 1)
        call.dl = int(before)
    elif call.al == 5:
        call.dl = 3
    elif call.al == 6:
        call.bl, call.bh, call.dx = *dos.version, 0
    else:
        call.al = 0xFF


@service(0x34)
def in_dos(dos: Kernel, call: Call) -> None:
    """ES:BX = the flag that says whether DOS is busy: never, as guest code can see it."""
    call.es, call.bx = tables.SEGMENT, dos.tables.indos


@service(0x37)
def switch_character(dos: Kernel, call: Call) -> None:
    r"""AL=0: DL = character of options; 1: set it; 2, 3: \\DEV\\ is not needed."""
    if call.al == 0:
        call.dl = dos.switch
    elif call.al == 1:
        dos.switch = call.dl
    elif call.al == 2:
        call.dl = 0xFF
    elif call.al != 3:
        call.al = 0xFF
        return
    call.al = 0


@service(0x38)
def country_information(dos: Kernel, call: Call) -> None:
    """Tell of a country at DS:DX, or (DX=FFFFh) make it the current one."""
    code = call.bx if call.al == 0xFF else call.al or dos.country
    if not country.is_known(code):
        raise DosError(FILE_NOT_FOUND)
    if call.dx == 0xFFFF:
        dos.country = code
        return
    dos.memory.copy_to(call.ds, call.dx, country.information(code, dos.tables.case_map))
    call.bx = call.ax = code


@service(0x65)
def extended_country(dos: Kernel, call: Call) -> None:
    """Tell of a country at ES:DI, at most CX bytes; AL=20h to 23h: capitals, yes or no."""
    code = dos.country if call.dx in (0xFFFF, 0) else call.dx
    table = {
        2: dos.tables.upper,
        4: dos.tables.file_upper,
        5: dos.tables.file_characters,
        6: dos.tables.collating,
        7: dos.tables.double_bytes,
    }.get(call.al)
    if call.al == 1:
        if not country.is_known(code):
            raise DosError(FILE_NOT_FOUND)
        block = struct.pack("<HH", code, country.CODE_PAGE)
        block += country.information(code, dos.tables.case_map)
        data = struct.pack("<BH", 1, len(block)) + block
        data = data[: max(call.cx, 5)]
        dos.memory.copy_to(call.es, call.di, data)
        call.cx = call.ax = len(data)
    elif table is not None:
        data = struct.pack("<BHH", call.al, table, tables.SEGMENT)
        dos.memory.copy_to(call.es, call.di, data)
        call.cx = call.ax = len(data)
    elif call.al in (0x20, 0xA0):
        call.dl = tables.upper(call.dl)
    elif call.al in (0x21, 0x22, 0xA1, 0xA2):
        _make_upper(dos, call)
    elif call.al == 0x23:
        call.ax = {0x59: 1, 0x4E: 0}.get(tables.upper(call.dl), 2)
    else:
        dos.report.unknown(0x21, call.ax)
        raise DosError(INVALID_FUNCTION)


def _make_upper(dos: Kernel, call: Call) -> None:
    """Make the CX characters, or those up to a zero byte, at DS:DX capitals."""
    if call.al & 3 == 1:
        text = dos.memory.copy_from(call.ds, call.dx, call.cx)
    else:
        text = dos.memory.until(call.ds, call.dx, b"\0")
    dos.memory.copy_to(call.ds, call.dx, bytes(tables.upper(c) for c in text))


@service(0x66)
def code_page(dos: Kernel, call: Call) -> None:
    """BX, DX = code pages, active and of the system; others cannot be set."""
    if call.al == 1:
        call.bx = call.dx = country.CODE_PAGE
    elif call.al != 2 or call.bx != country.CODE_PAGE:
        raise DosError(FILE_NOT_FOUND if call.al == 2 else INVALID_FUNCTION)


@service(0x59)
def extended_error(dos: Kernel, call: Call) -> None:
    """AX, BH, BL, CH = last error: its number, class, what to do, where."""
    code = dos.last_error
    call.ax, (call.bh, call.bl, call.ch) = code, about(code) if code else (0, 0, 0)


@service(0x52)
def list_of_lists(dos: Kernel, call: Call) -> None:
    """ES:BX = list of lists."""
    tables.describe_drives(dos)
    call.es, call.bx = tables.SEGMENT, dos.tables.lists


@service(0x5D)
def network(dos: Kernel, call: Call) -> None:
    """AL=6: DS:SI, CX, DX = swappable data; 0Ah: set the last error; printers do nothing."""
    if call.al == 0x06:
        call.ds, call.si = tables.SEGMENT, dos.tables.critical
        call.cx, call.dx = tables.SDA_SIZE, tables.SDA_KEPT
    elif call.al == 0x0A:
        dos.last_error = dos.memory.u16((call.ds << 4) + call.dx)
    elif call.al not in (7, 8, 9):
        dos.report.unknown(0x21, call.ax)
        raise DosError(INVALID_FUNCTION)


@service(0x5E, 0x5F)
def machine_name(dos: Kernel, call: Call) -> None:
    """There is no network."""
    if call.ax == 0x5E00:
        dos.memory.copy_to(call.ds, call.dx, b" " * 15 + b"\0")
        call.cx = 0
        return
    raise DosError(INVALID_FUNCTION)


@service(0x63)
def double_byte_table(dos: Kernel, call: Call) -> None:
    """DS:SI = table of lead bytes: none."""
    if call.al != 0:
        raise DosError(INVALID_FUNCTION)
    call.ds, call.si = tables.SEGMENT, dos.tables.double_bytes + 2


@service(0x18, 0x1D, 0x1E, 0x20, 0x61, 0x6B)
def nothing(dos: Kernel, call: Call) -> None:
    """AL = 0: functions of CP/M that DOS has never filled."""
    call.al = 0


@service(0x73)
def large_disks(dos: Kernel, call: Call) -> None:
    """Answer as a DOS does that lacks FAT32."""
    dos.skip_carry = True
    call.al, call.carry = 0, True
