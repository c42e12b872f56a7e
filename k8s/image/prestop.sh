#!/bin/sh
# What a pod does before it is stopped: let the trial that runs here reach its next resumable checkpoint
# (placement: train.resume_every_s, 60 s by default), then stop Ray. An idle pod stops at once.
#
#   prestop [SECONDS]    most seconds to wait; with ray stop's 20 less than the pod's grace
#
# A worker process is called `ray::` and what it runs, or `ray::IDLE`. PROC is for the tests.
set -u
left=${1:-90}

busy() {
    for file in "${PROC:-/proc}"/[0-9]*/cmdline; do
        case "$(tr '\0' ' ' <"$file" 2>/dev/null)" in
            ray::IDLE* | ray::DashboardAgent* | ray::RuntimeEnvAgent*) ;;
            ray::*) return 0 ;;
        esac
    done
    return 1
}

while [ "$left" -gt 0 ] && busy; do
    sleep 1
    left=$((left - 1))
done
exec ray stop --grace-period 20
