"""The commands for schedules."""

from aish.catalogue.page import Page

TITLE = "Schedules"
PAGES = (
    Page(
        "schedule",
        "Run lines at set times.",
        details="The hub runs them, so a hub must be running (aish status). The answers of all runs of a"
        " schedule are in a session of its own.",
        examples={
            """aish schedule add morning "0 8 * * 1-5" 'apollo "what is new?"'""": "at 8:00 on working days",
            "aish session show morning": "show its answers",
        },
    ),
    Page(
        "schedule add",
        "Run a line at set times.",
        'schedule add NAME CRON [--zone ZONE] [--overlap skip|queue] [--session SESSION] "LINE"',
        options={
            "--zone": "the time zone, such as Europe/Berlin (default: that of the machine)",
            "--overlap": "what happens if the previous run has not ended (default: skip)",
            "--session": "the name of the session with the answers (default: NAME)",
        },
        details='CRON is "MINUTE HOUR DAY MONTH WEEKDAY", or @hourly, @daily, @weekly, @monthly or @yearly.'
        " LINE may have peers, broadcasts, joins, capabilities, teams or one route, but no programs and no"
        " files. One run makes up for all runs that were missed.",
        examples={
            """aish schedule add morning "0 8 * * 1-5" 'apollo "what is new?"'""": "at 8:00 on working days",
            """aish schedule add votes @daily --overlap queue 'a,b << "vote"'""": "each midnight",
        },
    ),
    Page(
        "schedule list",
        "List the schedules, with the next and the last run of each.",
        "schedule list [json]",
        examples={
            "aish schedule list": "a line per schedule",
            "aish schedule list --json": "the same, for a program",
        },
    ),
    Page(
        "schedule show",
        "Show a schedule.",
        "schedule show SCHEDULE [json]",
        examples={
            "aish schedule show morning": "its line, times, session and folder",
            "aish schedule show morning --json": "the same, for a program",
        },
    ),
    Page(
        "schedule run",
        "Run the line of a schedule now, and show the answer.",
        "schedule run SCHEDULE [--json]",
        options={"--json": "print one event per line, for programs"},
        examples={
            "aish schedule run morning": "do not wait for the next time",
            "aish schedule run morning > report.md": "write the answer to a file",
        },
    ),
    Page(
        "schedule pause",
        "Stop running a schedule at its times.",
        "schedule pause SCHEDULE",
        examples={
            "aish schedule pause morning": "no runs until it is resumed",
            "aish schedule resume morning": "continue with its next time",
        },
    ),
    Page(
        "schedule resume",
        "Run a paused schedule again at its times.",
        "schedule resume SCHEDULE",
        details="Times that passed while it was paused are not run.",
        examples={
            "aish schedule resume morning": "continue with its next time",
            "aish schedule list": "show the next times",
        },
    ),
    Page(
        "schedule remove",
        "Remove a schedule.",
        "schedule remove SCHEDULE",
        details="Its session stays, and a run that has begun continues.",
        examples={
            "aish schedule remove morning": "remove the schedule morning",
            "aish schedule list": "show the schedules that are left",
        },
    ),
)
