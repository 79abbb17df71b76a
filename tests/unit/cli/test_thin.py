"""The thin client: exit codes, streams, signals, without a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli_driver import Corten
from tests.support import eventually


def test_exit_code_is_the_containers(corten: Corten) -> None:
    done = corten("run", "img", "seven")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_outputs_stay_apart(corten: Corten) -> None:
    done = corten("run", "img", "both")
    assert (done.stdout, done.stderr) == ("to out\n", "to err\n")


def test_standard_input_is_piped_and_ends(corten: Corten) -> None:
    text = "line\n" * 100_000
    done = corten("run", "-i", "img", "cat", input=text)
    assert (done.returncode, done.stdout == text) == (0, True)


def test_without_i_nothing_is_read(corten: Corten) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"for somebody else")
    corten("run", "img", "both", stdin=ours)
    assert os.read(ours, 100) == b"for somebody else"
    os.close(ours)
    os.close(theirs)


def test_much_output_is_whole(corten: Corten) -> None:
    done = corten("run", "img", "big")
    assert len(done.stdout) == 64 * 65536


def test_program_not_found_is_127(corten: Corten) -> None:
    done = corten("run", "img", "absent")
    assert done.returncode == 127
    assert 'exec: "absent"' in done.stderr


def test_unknown_flag_is_125_and_says_where_help_is(corten: Corten) -> None:
    done = corten("run", "--nonsense", "img")
    assert done.returncode == 125
    assert "--nonsense" in done.stderr
    assert "corten run --help" in done.stderr


def test_missing_argument_is_1(corten: Corten) -> None:
    assert corten("run").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_go_to_the_container(corten: Corten, number: signal.Signals) -> None:
    with corten.popen("run", "img", "hold", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        process.send_signal(number)
        assert process.wait(20) == number


def test_an_ignored_signal_stays_ignored(corten: Corten) -> None:
    with corten.popen(
        "run", "img", "hold", stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == signal.SIGTERM


def test_a_signal_before_there_is_a_container_is_kept_for_it(
    corten: Corten, tmp_path: Path
) -> None:
    with corten.popen("run", "img", "late", str(tmp_path), stdout=subprocess.PIPE) as process:
        eventually((tmp_path / "begun").exists)
        process.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        assert process.wait(20) == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_what_a_background_job_ignores_is_forwarded(corten: Corten, number: signal.Signals) -> None:
    """``sh -c 'corten run … &'`` starts it with both ignored; docker forwards them."""
    with corten.popen(
        "run", "img", "hold", stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        process.send_signal(number)
        assert process.wait(20) == number


def test_without_sig_proxy_a_signal_ends_the_client(corten: Corten) -> None:
    with corten.popen("run", "--sig-proxy=false", "img", "hold", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM


def test_ctrl_c_while_waiting_is_130(corten: Corten) -> None:
    name = f"held-{os.getpid()}-{id(corten)}"
    corten("run", "-d", "--name", name, "img", "hold")
    with corten.popen("wait", name) as process:
        # The worker must be waiting: it is when the daemon knows of the request. A signal that
        # comes before ends the client all the same.
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (130, -signal.SIGINT)


def test_closed_standard_descriptors_do_not_confuse(corten: Corten) -> None:
    done = corten("run", "-i", "img", "cat", preexec_fn=lambda: os.close(0), capture_output=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_reader_that_went_away_is_sigpipe(corten: Corten) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = corten("run", "--help", capture_output=False, stdout=theirs)
    os.close(theirs)
    assert done.returncode == 128 + signal.SIGPIPE


def test_a_reader_of_the_container_that_went_away(corten: Corten) -> None:
    with corten.popen(
        "run", "img", "big", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 128 + signal.SIGPIPE


def test_exec_has_its_own_exit_code(corten: Corten) -> None:
    name = f"exec-{os.getpid()}-{id(corten)}"
    corten("run", "-d", "--name", name, "img", "hold")
    done = corten("exec", name, "anything")
    assert (done.returncode, done.stdout) == (9, "from exec\n")


def test_the_callers_surroundings_are_used(corten: Corten, tmp_path: Path) -> None:
    done = corten(
        "run", "-d", "--cidfile", "here", "img", "hold", cwd=tmp_path,
        preexec_fn=lambda: os.umask(0o077),
    )  # fmt: skip
    file = tmp_path / "here"
    assert file.read_text() == done.stdout.strip()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_remote_host_is_refused_by_name(state: Path) -> None:
    environ = {"CORTEN_STATE": "", "DOCKER_HOST": "tcp://example.net:2375"}
    done = Corten(state)("ps", env=environ)
    assert done.returncode == 1
    assert "unset DOCKER_HOST" in done.stderr
