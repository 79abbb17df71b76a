#!/bin/bash
# Runs in the guest, from the second disk, once per boot; prints CHECK lines on the console.
# Phase 1: install, start, run, limits, kill -9. Phase 2, after the reboot: what is left.
set -u
exec >/dev/ttyS1 2>&1 # not the console: systemd hangs that up
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
watch() { # watch NAME: what hangs says why, and ends the guest
    sleep 240
    echo "CHECK $1 FAILED: it hangs"
    systemctl list-jobs --no-pager
    ps -eo pid,ppid,stat,etimes,wchan:24,args
    for task in $(pgrep 'corten|python') 1; do
        echo "# $task: $(tr '\0' ' ' <"/proc/$task/cmdline") $(cat "/proc/$task/syscall")"
        cat "/proc/$task/stack"
    done
    journalctl --no-pager | tail -n 80 # with the kernel's words
    sync
    systemctl poweroff --force --force
}
check() { # check NAME COMMAND...
    local began=$SECONDS watcher
    local name=$1 out
    shift
    watch "$name" & watcher=$!
    if out=$("$@" 2>&1); then echo "CHECK $name ok"; echo "# $name took $((SECONDS - began)) s"; else
        echo "CHECK $name FAILED: $(echo "$out" | tail -n 5 | tr '\n' '|')"
    fi
    kill "$watcher"
    wait "$watcher" 2>/dev/null
}
eventually() { # eventually SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "not within the deadline: $*"; return 1; }
        sleep 0.2
    done
}
has() { grep -qF -- "$2" <<<"$1" || { echo "no «$2» in: $1"; return 1; }; }
cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }
pid_of() { corten inspect --format '{{.State.Pid}}' "$1"; }

install_corten() {
    mkdir -p /tmp/source && cp -a /mnt/source/. /tmp/source && cd /tmp/source &&
        { time timeout 600 make install DEPS=/mnt/deps; }
}
unit_starts() {
    systemctl start corten.service && systemctl is-active corten.service &&
        [ "$(pgrep -xo cortend)" = "$(systemctl show -p MainPID --value corten.service)" ]
}
hello() { has "$(corten run --rm hello)" "Hello"; }
monitors_scopes() { systemctl list-units --plain --no-legend 'corten-monitors-*.scope' | cut -d ' ' -f 1; }
# What a shutdown does to the monitors: SIGTERM, and 90 s later SIGKILL.
stopped_with_its_scope() {
    local began=$SECONDS
    corten run -d --name graceful hello sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done' &&
        systemctl stop $(monitors_scopes) && [ $((SECONDS - began)) -lt 40 ] &&
        eventually 30 exited_with graceful 7 && corten rm graceful
}
exited_with() { [ "$(corten inspect --format '{{.State.ExitCode}}' "$1")" = "$2" ]; }
restart_after_an_upgrade() {
    local before main
    before=$(pid_of limited) main=$(systemctl show -p MainPID --value corten.service)
    cortend --restart && [ "$main" != "$(systemctl show -p MainPID --value corten.service)" ] &&
        systemctl is-active corten.service && [ "$before" = "$(pid_of limited)" ]
}
scope_of_a_container() {
    local pid
    pid=$(pid_of limited)
    has "$(corten info)" systemd &&
        has "$(cgroup_of "$pid")" "/corten.slice/corten-$(corten inspect --format '{{.Id}}' limited).scope" &&
        systemctl is-active "corten-$(corten inspect --format '{{.Id}}' limited).scope" &&
        [ "$(systemctl show -p MemoryMax --value "$(basename "$(cgroup_of "$pid")")")" = 67108864 ] &&
        systemctl daemon-reload && limits_are_visible
}
pod_in_its_slice() {
    local out
    out=$(timeout 200 /usr/bin/python3 -I /mnt/pod.py) || { echo "$out"; return 1; }
    local slice=/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod4711.slice
    has "$out" "driver SYSTEMD" && has "$out" "container $slice/corten-" &&
        has "$out" "monitor $slice/corten-monitors-" &&
        [ -z "$(find /sys/fs/cgroup$slice -name '*.scope')" ]
}
limited() { corten run -d --name limited -m 64m --cpus 0.5 --pids-limit 50 hello sleep 1000; }
limits_are_visible() {
    local group="/sys/fs/cgroup$(cgroup_of "$(pid_of limited)")"
    has "$(cat "$group/memory.max")" 67108864 && has "$(cat "$group/pids.max")" 50 &&
        has "$(cat "$group/cpu.max")" "50000 100000"
}
seen_inside() { has "$(corten exec limited cat /sys/fs/cgroup/memory.max)" 67108864; }
monitors_are_outside_the_unit() {
    local monitor
    monitor=$(awk '/^PPid:/ { print $2 }' "/proc/$(pid_of limited)/status")
    has "$(cgroup_of "$monitor")" /corten.slice/corten-monitors.slice/ &&
        has "$(cgroup_of "$(pgrep -x corten-launcher)")" /corten.slice/corten-monitors.slice/
}
survives_kill() {
    local before after
    before=$(pid_of limited)
    kill -9 "$(systemctl show -p MainPID --value corten.service)"
    eventually 60 systemctl is-active --quiet corten.service &&
        eventually 60 corten ps >/dev/null && after=$(pid_of limited) &&
        [ "$before" = "$after" ] && kill -0 "$after"
}
survives_restart() {
    local before
    before=$(pid_of limited)
    systemctl restart corten.service && eventually 60 corten ps >/dev/null &&
        [ "$before" = "$(pid_of limited)" ]
}
exec_after() { has "$(corten exec limited echo still here)" "still here"; }
exited_after_reboot() {
    eventually 60 corten ps >/dev/null && has "$(corten ps -a)" "Exited"
}
starts_again() { corten start limited && corten exec limited true; }
stops() { corten stop -t 2 limited && corten rm limited; }
nothing_left() {
    local found
    found=$(find /sys/fs/cgroup -name 'corten-*.scope' -not -name 'corten-monitors-*'; grep corten /proc/mounts)
    [ -z "$found" ] || { echo "$found"; return 1; }
}

if [ ! -e /var/phase2 ]; then
    echo "SMOKE kernel $(uname -r)"
    check install install_corten
    check unit-starts unit_starts
    check enable systemctl enable corten.service
    check hello hello
    check stopped-with-its-scope stopped_with_its_scope
    check limited limited
    check limits-in-v2-files limits_are_visible
    check limits-seen-inside seen_inside
    check monitors-outside-unit monitors_are_outside_the_unit
    check scope-of-a-container scope_of_a_container
    check pod-in-its-slice pod_in_its_slice
    check exec exec_after
    check kill-9-of-the-daemon survives_kill
    check exec-after-kill exec_after
    check restart-of-the-unit survives_restart
    check restart-after-an-upgrade restart_after_an_upgrade
    touch /var/phase2
    sync
    systemctl reboot --force --force # at once, as a power failure would
    exit 0
fi
check exited-after-reboot exited_after_reboot
check starts-again starts_again
check stops stops
check nothing-left nothing_left
journalctl -u corten.service --no-pager 2>/dev/null | tail -n 60
echo "SMOKE DONE"
sync
systemctl poweroff --force
