"""A picture of the chart's dashboard: `python -m pages.dashboard FILE.png`, three minutes of real requests.

Grafana is not in it: a script draws what a real Prometheus says to the dashboard's queries. `traffic` makes what there
is to see, `picture` draws it.
"""
