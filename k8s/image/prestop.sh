#!/bin/sh
# What a pod does before it is stopped: have what trains here save its state and leave, then stop Ray.
#
# Where the driver runs, it is told to end: it has the trials of the whole cluster save and leave
# (placement: grace_s). Elsewhere Ray is told that this node is about to go, and trials with a process here
# save and go on without it. An idle pod stops at once.
#
#   prestop [SECONDS]    most seconds to wait; with ray stop's 20 less than the pod's grace
#
# A worker process is called `ray::` and what it runs, or `ray::IDLE`. PROC is for the tests.
set -u
left=${1:-90}

named() { # named PATTERN...: print the number of each process whose command line begins or goes on so
    for file in "${PROC:-/proc}"/[0-9]*/cmdline; do
        line=$(tr '\0' ' ' <"$file" 2>/dev/null)
        case "$line" in
            ray::IDLE* | ray::DashboardAgent* | ray::RuntimeEnvAgent*) continue ;;
        esac
        for pattern in "$@"; do
            # shellcheck disable=SC2254
            case "$line" in
                $pattern) file=${file%/cmdline} && echo "${file##*/}" ;;
            esac
        done
    done
}

busy() { [ -n "$(named 'ray::*' '*-m ray_jobs.*')" ]; }

if busy; then
    drivers=$(named '*-m ray_jobs.*')
    if [ -n "$drivers" ]; then
        # shellcheck disable=SC2086
        kill -TERM $drivers
    else
        timeout 20 ray drain-node --address "${RAY_ADDRESS:-auto}" \
            --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "the pod is being stopped" \
            --deadline-remaining-seconds "$left"
    fi
fi
while [ "$left" -gt 0 ] && busy; do
    sleep 1
    left=$((left - 1))
done
ray stop --grace-period 20
# On a head `ray start --block` outlives that. It is the container's first process and has no handler of SIGTERM, so
# the kernel keeps that from it and the pod would be held until its grace is over; of SIGINT it has one.
start=$(named '*/ray start *--block*')
if [ -n "$start" ]; then
    # shellcheck disable=SC2086
    kill -INT $start
fi
