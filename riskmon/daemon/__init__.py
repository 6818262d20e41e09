"""The daemon of `riskmon run`.

`lifetime` builds every part from the configuration, keeps them running, and ends them in order; `timetable` holds the
jobs and when each runs; `following` reads the traffic; `reloading` reads the configuration again; `ending` knows
whether and why it is over; `health` answers the probes.

Threads: the intake follows the traffic; the scheduler's two lanes estimate and forecast; HTTP serves. The main thread
waits for a signal. On SIGTERM or Ctrl-C the intake writes its last batch, the prompt under way gets a few seconds to
finish, and all of it is over within ten. A fault that the user must fix ends the daemon with that error.
"""

from riskmon.daemon.lifetime import Daemon

__all__ = ["Daemon"]
