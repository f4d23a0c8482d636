"""Scripts for unattended runs, and the console that they use, from another thread."""

from __future__ import annotations

import pytest

from jitemu.script import Script, ScriptError, ScriptRun, unquoted
from tests.display.board import Board, Running

pytestmark = pytest.mark.particular


def test_a_script_does_what_a_person_would(tmp_path) -> None:
    """It waits, types, presses, takes pictures, and ends the machine with its status."""
    guest = Running()
    guest.board.show("C:\\>")
    script = Script(
        f"""
        # a comment
        timeout 20
        wait_text C:\\>
        line dir
        wait_text "done"
        press ctrl-alt-delete 0.01
        mouse 5 -3 1
        screenshot {tmp_path}/a.png
        text "{tmp_path}/a b.txt"
        sleep 0.01
        quit 7
        type never
        """
    )
    script.check()
    run = ScriptRun(script, guest.console, guest.stop)
    assert guest.ends.wait(20)
    guest.thread.join()
    assert (run.status, run.error) == (7, None)
    codes = bytes.fromhex("20a0 1797 1393 1c9c 1d38e053 e0d3b89d")
    assert bytes(guest.board.codes) == codes
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a b.txt").read_text().splitlines()[3] == "done"


def test_what_does_not_come_true_is_said() -> None:
    """The error names the line, and the machine ends."""
    guest = Running()
    guest.board.show("A>")
    run = ScriptRun(Script("timeout 0.2\nwait_text B>", "x.txt"), guest.console, guest.stop)
    assert guest.ends.wait(10)
    assert str(run.error) == ("x.txt:2: wait_text: no 'B>' within 0.2 s; the screen ends with: A>")


def test_leaving_lets_the_machine_run() -> None:
    """After `leave` nobody stops it; without, the end of the script is its end."""
    guest = Running()
    run = ScriptRun(Script("sleep 0\nleave"), guest.console, guest.stop)
    run._thread.join(10)
    assert not guest.ends.is_set()
    run = ScriptRun(Script(""), guest.console, guest.stop)
    assert guest.ends.wait(10)
    assert run.status == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("jump", "there is no command 'jump'"),
        ("press hyper-x", "there is no key 'hyper'"),
        ("type é", "no key for 'é'"),
        ('type "a', 'begins with " ends with "'),
        ('type "\\q"', "there is no \\\\q"),
        ("type", "a text is needed"),
        ("mouse 1", "2 to 4 numbers"),
        ("mouse 1 x", "invalid literal"),
        ("sleep -1", "a number of seconds"),
        ("sleep nan", "a number of seconds"),
        ("quit 300", "0 to 255"),
        ("screenshot", "one file"),
        ('text "a', "No closing quotation"),
    ],
)
def test_nonsense_is_found_before_the_machine_starts(line: str, message: str) -> None:
    """File, line number, command, and what is wrong."""
    script = Script(f"sleep 1\n\n{line}", "f")
    with pytest.raises(ScriptError, match=f"^f:3: {line.split()[0]}: .*{message}"):
        script.check()


def test_files_that_are_no_scripts(tmp_path) -> None:
    """Missing and binary files are refused in one line."""
    with pytest.raises(ScriptError, match="No such file"):
        Script.load(str(tmp_path / "none"))
    (tmp_path / "bin").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ScriptError, match="not UTF-8"):
        Script.load(str(tmp_path / "bin"))


def test_quotes() -> None:
    """Within quotes backslashes mean something, outside they do not."""
    assert unquoted('"a\\n\\x41\\\\\\""') == 'a\nA\\"'
    assert unquoted("C:\\new") == "C:\\new"


def test_more_commands() -> None:
    """Whoever runs scripts may add commands, which get the rest of the line and the timeout."""
    seen = []
    script = Script("timeout 5\nwait_serial login: ")
    with pytest.raises(ScriptError, match="no command 'wait_serial'"):
        script.check()
    script.more["wait_serial"] = lambda rest, timeout: seen.append((rest, timeout))
    script.check()
    assert script.run(Board().console) == 0
    assert seen == [("login:", 5.0)]


def test_errors_of_the_guest_thread_reach_who_asked() -> None:
    """An exception is raised where the question was asked, and the guest goes on."""
    guest = Running()
    with pytest.raises(ZeroDivisionError):
        guest.console.ask(lambda: 1 // 0)
    assert guest.console.ask(lambda: 5) == 5
    guest.stop()
    guest.thread.join()
    assert guest.console.ask(lambda: 6) == 6  # nobody runs it: at once
