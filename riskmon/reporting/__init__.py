"""Deployment reports: gathered from the store and the configuration, rendered by `riskmon.publish.reports`, delivered.

    store, config, Prometheus -> gather -> DeploymentReport -> render -> folder, webhook, mail

`reporter.Reporter` is the daemon's part, `command.write_report` the command line's.
"""
