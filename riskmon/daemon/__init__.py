"""The daemon of `riskmon run`.

`lifetime` builds the parts that the role has from the configuration, keeps them running, and ends them in order.
`following` reads the traffic (role intake); `device_jobs` are the cycles (estimate), `desk_jobs` what is done with them
(publish); `timetable` says when each runs, `turn` sees to it that one process at a time does; `reloading` reads the
configuration again; `ending` knows whether and why it is over; `health` answers the probes.

Threads: the intake follows the traffic; the scheduler's two lanes estimate and forecast; HTTP serves. The main thread
waits for a signal. On SIGTERM or Ctrl-C the intake writes its last batch, the prompt under way gets a few seconds to
finish, and all of it is over within ten. A fault that the user must fix ends the daemon with that error.
"""

from riskmon.daemon.lifetime import Daemon

__all__ = ["Daemon"]
