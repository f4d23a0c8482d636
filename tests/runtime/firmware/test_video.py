"""INT 10h: what it puts into memory, registers and pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from runtime.firmware.bios import bda
from runtime.firmware.bios.palettes import palette
from runtime.screen.font import font
from runtime.screen.screen import Screen
from tests.runtime.firmware.services import Services

BUFFER = 0x10000  # ES 1000h


@pytest.fixture(scope="module")
def machine() -> Iterator[Services]:
    made = Services()
    yield made
    made.close()


@pytest.fixture
def video(machine: Services) -> Services:
    machine.call(0x10, eax=3)
    return machine


def screen(machine: Services) -> Screen:
    return Screen(machine.pc.display.vga.frame)


def cells(machine: Services, row: int, column: int, count: int) -> bytes:
    return machine.physical.read(0xB8000 + 160 * row + 2 * column, 2 * count)


def say(machine: Services, text: str) -> None:
    for value in text.encode("cp437"):
        machine.call(0x10, eax=0x0E00 | value)


# -- text ------------------------------------------------------------------------------------------
def test_teletype(video: Services) -> None:
    """Carriage return, line feed, backspace and bell do what they do; text wraps."""
    say(video, "ab\rX\ncd\b\be\a!" + "\r\n" + "=" * 80 + "end")
    assert screen(video).rows[:4] == [
        "Xb".ljust(80),
        " e!".ljust(80),
        "=" * 80,
        "end".ljust(80),
    ]
    assert video.call(0x10, eax=0x0300).dx == 0x0303
    cursor = screen(video).cursor
    assert cursor is not None
    assert cursor[:2] == (3, 3)


def test_the_last_line_scrolls_with_its_attribute(video: Services) -> None:
    video.call(0x10, eax=0x0920, ebx=0x1E, ecx=2000)
    video.call(0x10, eax=0x0200, edx=24 << 8)
    say(video, "last\nx")
    assert cells(video, 23, 0, 4) == b"l\x1ea\x1es\x1et\x1e"
    assert cells(video, 24, 0, 6) == b" \x1e" * 4 + b"x\x1e \x1e"


def test_characters_with_and_without_attribute(video: Services) -> None:
    """09h writes both, 0Ah leaves attributes; 08h reads; the cursor stays."""
    video.call(0x10, eax=0x0200, edx=0x050A)
    video.call(0x10, eax=0x0941, ebx=0x2F, ecx=3)
    video.call(0x10, eax=0x0A42, ebx=0x4F, ecx=2)
    assert cells(video, 5, 10, 4) == b"B/B/A/ \x07"
    assert video.call(0x10, eax=0x0800).ax == 0x2F42
    assert video.call(0x10, eax=0x0300).dx == 0x050A


def test_windows_scroll(video: Services) -> None:
    """06h and 07h move a rectangle and nothing around it."""
    for row in range(25):
        video.call(0x10, eax=0x0200, edx=row << 8)
        video.call(0x10, eax=0x0900 | 65 + row, ebx=7, ecx=80)
    video.call(0x10, eax=0x0602, ebx=0x7000, ecx=0x0305, edx=0x0609)
    rows = screen(video).rows
    assert [row[4:11] for row in rows[2:8]] == [
        "CCCCCCC", "DFFFFFD", "EGGGGGE", "F     F", "G     G", "HHHHHHH",
    ]  # fmt: skip
    assert cells(video, 5, 5, 1) == b" \x70"
    video.call(0x10, eax=0x0701, ebx=0x0700, ecx=0x0305, edx=0x0609)
    assert [row[5] for row in screen(video).rows[2:8]] == ["C", " ", "F", "G", " ", "H"]
    video.call(0x10, eax=0x0600, ebx=0x0700, ecx=0, edx=0x184F)
    assert screen(video).text.strip() == ""


def test_pages(video: Services) -> None:
    """Each page has its text and cursor; 05h shows one."""
    video.call(0x10, eax=0x0200, ebx=0x0300, edx=0x0102)
    video.call(0x10, eax=0x0958, ebx=0x0307, ecx=1)
    assert screen(video).text.strip() == ""
    video.call(0x10, eax=0x0503)
    assert screen(video).rows[1][2] == "X"
    assert video.word(bda.PAGE_START) == 0x3000
    cursor = screen(video).cursor
    assert cursor is not None
    assert cursor[:2] == (1, 2)
    assert video.call(0x10, eax=0x0F00).bh == 3


def test_strings(video: Services) -> None:
    """13h with one attribute or one for each character; the cursor moves if it is to."""
    video.physical.write(BUFFER, b"hi\r\nyou")
    video.call(0x10, eax=0x1300, ebx=0x1F, ecx=7, edx=0x0304, es=0x1000)
    assert cells(video, 3, 4, 2) == b"h\x1fi\x1f"
    assert cells(video, 4, 0, 3) == b"y\x1fo\x1fu\x1f"
    assert video.call(0x10, eax=0x0300).dx == 0
    video.physical.write(BUFFER, b"a\x01b\x02c\x02")
    video.call(0x10, eax=0x1303, ecx=3, edx=0x0600, es=0x1000)
    assert cells(video, 6, 0, 3) == b"a\x01b\x02c\x02"
    assert video.call(0x10, eax=0x0300).dx == 0x0603


def test_fonts(video: Services) -> None:
    """Eight rows make fifty lines; 1130h points to the ROM's fonts; own glyphs are shown."""
    video.call(0x10, eax=0x1112)
    assert video.byte(bda.ROWS) == 49
    assert len(screen(video).rows) == 50
    assert screen(video).ndarray.shape[0] == 400
    call = video.call(0x10, eax=0x1130, ebx=0x0600)
    assert (call.cx, call.dl) == (8, 49)
    assert video.physical.read(call.es * 16 + call.bp, 4096) == font(16)
    video.physical.write(BUFFER, b"\xff" * 8)
    video.call(0x10, eax=0x1100, ebx=0x0800, ecx=1, edx=65, es=0x1000)
    say(video, "A")
    assert (screen(video).ndarray[:8, :8] == screen(video).ndarray[0, 0]).all()
    video.call(0x10, eax=3)
    assert len(screen(video).rows) == 25


def test_scan_lines_of_text(video: Services) -> None:
    """12h BL=30h: 200, 350 or 400 lines from the next mode on."""
    for asked, lines, height in ((0, 200, 8), (1, 350, 14), (2, 400, 16)):
        call = video.call(0x10, eax=0x1200 | asked, ebx=0x30)
        assert call.al == 0x12
        video.call(0x10, eax=3)
        assert video.word(bda.CHARACTER_HEIGHT) == height
        assert screen(video).ndarray.shape[0] in (lines, 2 * lines)
        assert len(screen(video).rows) == 25


# -- graphics --------------------------------------------------------------------------------------
SIZES = {4: (320, 200), 6: (640, 200), 0xD: (320, 200), 0xE: (640, 200), 0x10: (640, 350)}
SIZES |= {0x11: (640, 480), 0x12: (640, 480), 0x13: (320, 200)}


@pytest.mark.parametrize("mode", sorted(SIZES))
def test_graphics(machine: Services, mode: int) -> None:
    """The display is as large as it should be; pixels, characters and scrolling are there."""
    machine.call(0x10, eax=mode)
    width, height = SIZES[mode]
    shape = screen(machine).ndarray.shape[:2]
    assert shape in (
        (height, width),
        (2 * height, width),
        (2 * height, 2 * width),
        (height, 2 * width),
    )
    color = {4: 2, 6: 1, 0x11: 1}.get(mode, 11)
    machine.call(0x10, eax=0x0C00 | color, ecx=width - 1, edx=height - 1)
    assert machine.call(0x10, eax=0x0D00, ecx=width - 1, edx=height - 1).al == color
    if mode != 0x13:
        machine.call(0x10, eax=0x0C80 | color, ecx=width - 1, edx=height - 1)
        assert machine.call(0x10, eax=0x0D00, ecx=width - 1, edx=height - 1).al == 0
    machine.call(0x10, eax=0x0E41, ebx=color)
    assert machine.call(0x10, eax=0x0300).dx == 1
    rows = machine.word(bda.CHARACTER_HEIGHT)
    glyph = np.unpackbits(np.frombuffer(font(rows), np.uint8)[65 * rows : 66 * rows])
    seen = [machine.call(0x10, eax=0x0D00, ecx=x, edx=y).al for y in range(rows) for x in range(8)]
    assert seen == [color * int(bit) for bit in glyph]
    machine.call(0x10, eax=0x0200)
    assert machine.call(0x10, eax=0x0800).al == 65
    machine.call(0x10, eax=0x0701, ecx=0, edx=0x1800 | width // 8 - 1)
    machine.call(0x10, eax=0x0200, edx=0x0100)
    assert machine.call(0x10, eax=0x0800).al == 65
    picture = screen(machine).ndarray
    assert picture.any()
    machine.call(0x10, eax=mode)
    assert not screen(machine).ndarray.any()


def test_the_colours_of_mode_13h() -> None:
    """Facts of IBM's palette: blue is 32, the wheel ends before black."""
    colors = [palette("vga")[i : i + 3] for i in range(0, 768, 3)]
    assert colors[15] == b"\x3f\x3f\x3f"
    assert colors[6] == b"\x2a\x15\x00"
    assert colors[32] == b"\x00\x00\x3f"
    assert colors[40] == b"\x3f\x00\x00"
    assert colors[48] == b"\x00\x3f\x00"
    assert colors[55] == b"\x00\x10\x3f"
    assert colors[247] == b"\x0b\x0c\x10"
    assert set(colors[248:]) == {b"\0\0\0"}


def test_palette(video: Services) -> None:
    video.call(0x10, eax=0x1000, ebx=0x3F01)
    assert video.call(0x10, eax=0x1007, ebx=1).bh == 0x3F
    video.call(0x10, eax=0x1010, ebx=7, ecx=0x0A0B, edx=0x0C00)
    call = video.call(0x10, eax=0x1015, ebx=7)
    assert (call.dh, call.ch, call.cl) == (12, 10, 11)
    video.call(0x10, eax=0x1001, ebx=0x0500)
    assert video.call(0x10, eax=0x1008).bh == 5
    video.call(0x10, eax=0x1009, edx=0, es=0x1000)
    assert video.physical.read(BUFFER, 17)[1::15] == bytes((0x3F, 5))
    video.call(0x10, eax=0x1003, ebx=0)
    assert not video.pc.display.vga.attribute[0x10] & 8


def test_gray(video: Services) -> None:
    """Colours become gray on demand, or with each mode that is set."""
    video.call(0x10, eax=0x1010, ebx=4, ecx=0x0000, edx=0x3F00)
    video.call(0x10, eax=0x101B, ebx=4, ecx=1)
    call = video.call(0x10, eax=0x1015, ebx=4)
    assert (call.dh, call.cx) == (19, 19 << 8 | 19)  # 30% of 63
    assert video.call(0x10, eax=0x1200, ebx=0x33).al == 0x12
    video.call(0x10, eax=0x13)
    colors = [video.call(0x10, eax=0x1015, ebx=i) for i in range(16)]
    assert all(call.dh == call.ch == call.cl for call in colors)
    assert video.call(0x10, eax=0x1015, ebx=15).dh > video.call(0x10, eax=0x1015, ebx=1).dh
    video.call(0x10, eax=0x1201, ebx=0x33)
    video.call(0x10, eax=0x13)
    call = video.call(0x10, eax=0x1015, ebx=1)
    assert (call.dh, call.ch, call.cl) == (0, 0, 0x2A)


def test_what_adapter_this_is(video: Services) -> None:
    call = video.call(0x10, eax=0x1A00)
    assert (call.al, call.bx) == (0x1A, 8)
    call = video.call(0x10, eax=0x1200, ebx=0xFF10)
    assert (call.bh, call.bl, call.cl) == (0, 3, 9)
    assert video.call(0x10, eax=0x1B00, es=0x1000).al == 0x1B
    state = video.physical.read(BUFFER, 64)
    offset, segment = struct.unpack_from("<HH", state)
    assert state[4:7] == b"\x03\x50\x00"
    assert video.physical.read(segment * 16 + offset, 3) == b"\xff\xe0\x0f"


def test_the_table_of_parameters(video: Services) -> None:
    """Entries of 64 bytes by which programs set modes themselves."""

    def far(address: int) -> int:
        return video.word(address + 2) * 16 + video.word(address)

    table = far(far(bda.VIDEO_TABLES))
    rows = [video.physical.read(table + 64 * i, 64) for i in range(29)]
    vga = video.pc.display.vga
    for index, mode in ((0x18, 3), (0x1C, 0x13), (0x1B, 0x12), (5, 5), (0x0D, 0x0D)):
        video.call(0x10, eax=mode)
        row = rows[index]
        assert row[0] == video.word(bda.COLUMNS)
        assert row[9] == vga.misc
        assert row[10:35] == bytes(vga.crtc[:10]) + row[20:22] + bytes(vga.crtc[12:])
        assert row[35:51] == bytes(vga.attribute[:16])
        assert row[55:64] == bytes(vga.graphics[:9])


def test_state_is_saved_and_restored(video: Services) -> None:
    video.call(0x10, eax=0x1010, ebx=9, ecx=0x1122, edx=0x3300)
    video.call(0x10, eax=0x0200, edx=0x0708)
    assert 0 < video.call(0x10, eax=0x1C00, ecx=7).bx < 32
    video.call(0x10, eax=0x1C01, ecx=7, es=0x1000)
    video.call(0x10, eax=0x13)
    video.call(0x10, eax=0x1C02, ecx=7, es=0x1000)
    assert video.call(0x10, eax=0x0F00).ax == 0x5003
    assert video.call(0x10, eax=0x0300).dx == 0x0708
    assert video.call(0x10, eax=0x1015, ebx=9).cx == 0x1122
    assert len(screen(video).rows) == 25


# -- VBE -------------------------------------------------------------------------------------------
def test_vbe_tells_of_itself_and_its_modes(video: Services) -> None:
    video.physical.write(BUFFER, b"VBE2")
    assert video.call(0x10, eax=0x4F00, es=0x1000).ax == 0x4F
    data = video.physical.read(BUFFER, 512)
    assert data[:6] == b"VESA\0\3"
    (table, memory) = struct.unpack_from("<IH", data, 14)
    assert memory == 256
    place, numbers = (table >> 16) * 16 + (table & 0xFFFF), []
    while (number := video.word(place)) != 0xFFFF:
        numbers.append(number)
        place += 2
    assert {0x101, 0x103, 0x112, 0x115, 0x118, 0x143} <= set(numbers)
    for number in numbers:
        assert video.call(0x10, eax=0x4F01, ecx=number, es=0x1000).ax == 0x4F
        info = video.physical.read(BUFFER, 256)
        attributes, pitch = info[0], struct.unpack_from("<H", info, 16)[0]
        width, height, depth = *struct.unpack_from("<HH", info, 18), info[25]
        assert attributes & 1
        assert pitch >= width * (1 if depth == 4 else depth) // 8
        assert (width, height) >= (320, 200)


@pytest.mark.parametrize("number", [0x101, 0x111, 0x112, 0x115, 0x102, 0x142])
def test_vbe_modes_draw(video: Services, number: int) -> None:
    """Pixels drawn by the BIOS and through the window, text, and the picture agree."""
    linear = 0x4000 if number not in (0x102,) else 0
    assert video.call(0x10, eax=0x4F02, ebx=number | linear).ax == 0x4F
    assert video.call(0x10, eax=0x4F03).bx == number | linear
    assert not screen(video).ndarray.any()
    video.call(0x10, eax=0x0E00 | ord("#"), ebx=15)
    picture = screen(video).ndarray
    assert picture[:16, :8].any()
    assert not picture[16:].any()
    video.call(0x10, eax=0x0C0F, ecx=100, edx=300)
    assert screen(video).ndarray[300, 100].any()
    assert video.call(0x10, eax=0x4F02, ebx=3).ax == 0x4F
    assert len(screen(video).rows) == 25


def test_vbe_banks_pages_and_palette(video: Services) -> None:
    """The window, the start of the display, longer lines, colours of 8 bits."""
    video.call(0x10, eax=0x4F02, ebx=0x101)
    assert video.call(0x10, eax=0x4F05, edx=3).ax == 0x4F
    assert video.call(0x10, eax=0x4F05, ebx=0x0100).dx == 3
    video.physical.store(0xA0000, 9, 8)
    at = 3 << 16
    video.physical.write(BUFFER, bytes((4, 8, 12, 0)))
    video.call(0x10, eax=0x4F09, ecx=1, edx=9, es=0x1000)
    assert list(screen(video).ndarray[at // 640, at % 640]) == [12 << 2, 8 << 2 | 0, 4 << 2]
    assert video.call(0x10, eax=0x4F08, ebx=0x0800).bh == 8
    video.call(0x10, eax=0x4F09, ecx=1, edx=9, es=0x1000)
    assert list(screen(video).ndarray[at // 640, at % 640]) == [12, 8, 4]
    call = video.call(0x10, eax=0x4F06, ebx=0, ecx=1024)
    assert (call.ax, call.bx, call.cx) == (0x4F, 1024, 1024)
    assert video.call(0x10, eax=0x4F07, ecx=8, edx=100).ax == 0x4F
    call = video.call(0x10, eax=0x4F07, ebx=1)
    assert (call.cx, call.dx) == (8, 100)
    assert video.call(0x10, eax=0x4F04, ecx=15, edx=0).bx > 0
    video.call(0x10, eax=0x4F04, ecx=15, edx=1, es=0x2000)
    video.call(0x10, eax=3)
    video.call(0x10, eax=0x4F04, ecx=15, edx=2, es=0x2000)
    assert video.call(0x10, eax=0x4F03).bx == 0x101
    call = video.call(0x10, eax=0x4F07, ebx=1)
    assert (call.cx, call.dx) == (8, 100)


def test_vbe_tells_whether_memory_was_kept(video: Services) -> None:
    video.call(0x10, eax=0x4F02, ebx=0xC101)
    assert video.call(0x10, eax=0x4F03).bx == 0xC101
    video.call(0x10, eax=0x4F02, ebx=0x0101)
    assert video.call(0x10, eax=0x4F03).bx == 0x0101


def test_display_power(video: Services) -> None:
    """VBE/PM: the display is dark in all states but the first."""
    assert video.call(0x10, eax=0x4F10).bx == 0x0F10
    video.call(0x10, eax=0x0E23)
    assert screen(video).ndarray.any()
    assert video.call(0x10, eax=0x4F10, ebx=0x0401).ax == 0x4F
    assert video.call(0x10, eax=0x4F10, ebx=2).bh == 4
    assert not screen(video).ndarray.any()
    assert video.call(0x10, eax=0x4F10, ebx=0x0301).ax == 0x014F
    video.call(0x10, eax=0x4F10, ebx=1)
    assert screen(video).ndarray.any()
