"""What the shell promises, and the tests that run the real `aish` and see it.

A test is named by its file below `tests/` and its function. `test_promises.py` checks that all of them exist.
Most of these tests run `aish` as a process; some call its `main`, or type into it at a pseudo-terminal.
"""

from __future__ import annotations

MESSAGE = "aish/turns/test_message.py"
ENDS = "aish/turns/test_message_ends.py"
FAILURES = "aish/turns/test_message_failures.py"
PREPARED = "aish/turns/test_prepared.py"
PERMISSIONS = "aish/turns/test_permissions.py"
RESUMING = "aish/turns/test_resuming.py"
PIPELINE = "aish/language/test_pipeline.py"
AT_PROMPT = "aish/language/test_prompt.py"
ALIASES = "aish/language/test_aliases.py"
ASKING = "aish/screen/test_asking.py"
MARKDOWN = "aish/screen/test_markdown.py"
PROGRESS = "aish/screen/test_progress_lines.py"
SIZES = "aish/screen/test_sizes.py"
TABLES = "aish/screen/test_tables.py"
NOTICES = "aish/terminal/test_permission_notices.py"
PROMPT_LINE = "aish/terminal/test_prompt_line.py"
SLASH = "aish/terminal/test_slash.py"
ATTACH = "aish/terminal/test_attach.py"
FORWARDED = "aish/terminal/test_forwarded.py"
COMMANDS = "aish/commands/test_commands.py"
CONSOLE = "aish/commands/test_console.py"
COMPLETION = "aish/commands/test_completion.py"
FORWARDS = "aish/commands/test_forwards.py"
INBOX = "aish/commands/test_inbox.py"
MCP = "aish/commands/test_mcp.py"
MODELS = "aish/commands/test_models.py"
SESSIONS = "aish/commands/test_sessions.py"
TOOLS = "aish/commands/test_tools.py"
USAGE = "aish/commands/test_usage.py"
LONG_WORK = "aish/test_progress.py"
HINTS = "aish/test_hints.py"
MAN = "aish/catalogue/test_man_page.py"
OLDER = "clients/older/test_shell.py"
SHELL = "e2e/test_shell.py"
PROMISED = "e2e/test_promises.py"
PROGRAMS = "e2e/test_programs.py"
ATTACHING = "e2e/test_attaching.py"
ATTACHMENTS = "e2e/test_attachments.py"
CHECKPOINTS = "e2e/test_checkpoints.py"
KEPT = "e2e/test_sessions.py"
FORWARDING = "e2e/test_forwarding.py"
JSON = "e2e/test_json.py"
KILLED = "e2e/test_resuming.py"
NOTIFY = "e2e/test_notify.py"
SCHEDULES = "e2e/test_schedules.py"
SETTING_UP = "e2e/test_setting_up.py"
PROVIDERS = "e2e/test_providers.py"
AGENTS = "e2e/test_coding_agents.py"
INTEROP = "interop/test_asking.py"

PROMISES: dict[str, dict[str, tuple[str, ...]]] = {
    "messages": {
        "a message is sent, and its answer is streamed to stdout": (
            f"{MESSAGE}::test_a_message_is_sent_and_its_answer_goes_to_stdout",
            f"{MESSAGE}::test_an_answer_is_streamed",
            f"{SHELL}::test_an_answer_streams_through_the_hub",
        ),
        "standard input is read to its end and follows the message": (
            f"{MESSAGE}::test_piped_input_follows_the_message",
            f"{MESSAGE}::test_late_input_on_a_nonblocking_pipe_is_read_to_its_end",
        ),
        "a Unix pipe joins peers": (f"{SHELL}::test_peers_can_be_joined_by_a_unix_pipe",),
        "-c runs a line of the grammar in one process": (
            f"{PIPELINE}::test_a_run_of_peers_is_one_request",
            f"{SHELL}::test_a_line_joins_peers_and_programs",
        ),
        "a script file runs its lines": (
            f"{PIPELINE}::test_a_script_runs_its_lines_and_exits_with_the_last_code",
        ),
        "a file with an interpreter line is a program": (
            f"{PROMISED}::test_a_script_with_an_interpreter_line_is_a_program_with_arguments",
        ),
        "piped input goes to the first peers of a line": (
            f"{PIPELINE}::test_piped_input_goes_to_the_first_peers_of_a_line",
            f"{PROVIDERS}::test_piped_input_goes_to_all_peers_of_a_group",
        ),
        "the interactive shell has a prompt, history and completion": (
            f"{AT_PROMPT}::test_the_prompt_runs_lines_until_exit",
            f"{NOTICES}::test_the_prompt_edits_recalls_and_completes",
            f"{NOTICES}::test_the_next_shell_recalls_lines_that_did_not_begin_with_a_space",
        ),
        "Ctrl-C interrupts the answer and not the shell": (
            f"{RESUMING}::test_a_conversation_keeps_one_session_and_ctrl_c_stops_an_answer_only",
            f"{AT_PROMPT}::test_ctrl_c_in_a_program_ends_the_program_and_not_the_shell",
            "aish/terminal/test_prompt_session.py"
            "::test_ctrl_c_that_is_pressed_again_and_again_ends_the_input_once",
        ),
        "exit and quit leave the shell": (
            f"{AT_PROMPT}::test_the_prompt_runs_lines_until_exit",
            f"{AT_PROMPT}::test_comments_and_continued_lines_work_at_the_prompt",
        ),
        "-i is a conversation that says how to end it": (
            f"{OLDER}::test_a_conversation_says_that_it_is_connected_and_how_to_leave",
            f"{SHELL}::test_a_conversation_reads_messages_from_stdin_until_exit",
        ),
        "a named shell gets forwarded messages": (
            f"{FORWARDED}::test_a_forwarded_message_is_shown_above_the_input_line",
            f"{OLDER}::test_the_output_of_a_tool_is_forwarded_to_a_named_shell",
        ),
        "programs in a named shell see AISH_NAME": (
            f"{PROMISED}::test_a_program_in_a_named_shell_sees_its_name",
            f"{FORWARDS}::test_a_named_terminal_sends_its_name_with_each_message",
        ),
        "a broadcast, a capability and a team are targets": (
            f"{SHELL}::test_a_broadcast_is_answered_by_each_peer",
            f"{SHELL}::test_a_capability_is_routed_to_its_best_peer",
            "e2e/test_reloading.py::test_a_reload_applies_the_changes_to_the_running_hub",
        ),
        "team-chat is answered by every specialist under its name": (
            f"{SHELL}::test_team_chat_is_answered_by_every_specialist",
            f"{RESUMING}::test_team_chat_sends_the_message_to_all_specialists",
        ),
        "wait prints the idle peers and exits with 124 on timeout": (
            f"{TOOLS}::test_wait_prints_the_idle_peers",
            f"{TOOLS}::test_wait_times_out_with_124",
            f"{ATTACHING}::test_a_wrapped_tool_answers_can_be_waited_for_and_ended",
        ),
        "the first message starts the hub, and only one": (
            f"{SHELL}::test_shells_started_at_once_start_one_hub",
        ),
        "status shows the hub and shutdown stops it": (
            f"{SHELL}::test_status_and_list_show_the_hub_and_shutdown_stops_it",
            f"{COMMANDS}::test_status_reports_that_no_hub_is_running_without_starting_one",
        ),
    },
    "options": {
        "-s begins a session with a window of 10 or of the given size": (
            f"{MESSAGE}::test_options_become_members_of_the_request",
            f"{PIPELINE}::test_a_conversation_is_kept_within_one_shell",
        ),
        "-s continues a session by its name, also one with blanks": (
            f"{PROMISED}::test_a_conversation_is_saved_resumed_and_found_by_its_name",
            f"{PROMISED}::test_times_are_local_in_text_and_have_a_zone_in_json",
        ),
        "--session-id continues a session by id or name": (
            f"{SHELL}::test_a_conversation_continues_by_its_id",
            f"{KEPT}::test_a_named_conversation_survives_a_killed_hub",
        ),
        "-C continues the last conversation and first shows its last exchange": (
            f"{PREPARED}::test_the_last_conversation_is_continued_after_its_last_exchange_is_shown",
            f"{PREPARED}::test_on_a_terminal_the_last_exchange_is_dimmed_and_wrapped_between_words",
            f"{PREPARED}::test_a_copy_of_an_ended_conversation_is_continued",
            f"{PREPARED}::test_without_a_conversation_nothing_is_sent",
        ),
        "-x runs the text, and the delimiter is the message's, the peer's or the kind's": (
            f"{PROMISED}::test_the_delimiter_is_that_of_the_message_then_of_the_peer_then_of_the_kind",
        ),
        "-m and -S give the model and the system prompt": (
            f"{PREPARED}::test_a_model_and_a_prompt_are_sent_with_the_message",
            f"{ATTACHMENTS}::test_files_reach_both_apis_byte_for_byte",
        ),
        "--schema gives a whole JSON answer or none, from models that can": (
            f"{ATTACHMENTS}::test_a_json_answer_matches_its_schema_or_fails",
            f"{PREPARED}::test_only_a_whole_json_answer_is_printed",
        ),
        "-f sends a text file with its name": (
            f"{PREPARED}::test_files_follow_the_message_with_their_names",
            f"{PREPARED}::test_a_file_that_is_not_text_is_not_sent",
        ),
        "-a sends images, PDF and audio byte for byte to both kinds of API": (
            f"{ATTACHMENTS}::test_files_reach_both_apis_byte_for_byte",
            f"{ATTACHMENTS}::test_a_url_is_read_by_the_hub_without_redirects",
        ),
        "-a sends images byte for byte to coding agents": (
            "interop/test_attachments.py::test_a_picture_reaches_the_agents_model_byte_for_byte",
        ),
        "who does not take an attachment rejects it with a clear error": (
            f"{ATTACHMENTS}::test_what_a_model_does_not_take_is_rejected_before_anything_is_sent",
            "interop/test_attachments.py::test_a_sound_is_refused_before_the_agents_model_is_called",
        ),
        "attachments have at most 16 MiB": (f"{PREPARED}::test_what_cannot_be_attached_is_not_sent",),
        "--if-idle fails, --queue waits and --interrupt interrupts": (
            f"{PROMISED}::test_text_is_typed_into_a_program_and_run_only_with_x",
            f"{MESSAGE}::test_options_become_members_of_the_request",
        ),
        "--if-offline queue waits for the machine of the peer, and refuse fails": (
            "machines/test_joining.py::test_a_message_waits_for_its_machine_if_the_sender_wants_that",
            "machines/test_joining.py::test_a_machine_that_is_lost_is_offline_with_its_evidence",
        ),
        "--timeout stops waiting": (
            f"{ENDS}::test_a_timeout_interrupts_the_turn",
            f"{SHELL}::test_a_timeout_ends_the_turn",
        ),
        "--no-stream prints the answer when it is complete": (
            f"{MESSAGE}::test_no_stream_prints_the_complete_answer",
            f"{FAILURES}::test_a_failed_turn_keeps_its_partial_answer_and_shows_the_failure",
        ),
        "--quiet leaves only failures on stderr": (
            f"{PROGRESS}::test_quiet_shows_the_answer_only_and_no_color_has_no_colours",
            f"{MESSAGE}::test_the_offline_notice_is_shown_once_and_not_with_quiet",
        ),
        "--json prints one event per line": (
            f"{SHELL}::test_json_prints_the_numbered_events",
            f"{MESSAGE}::test_json_prints_one_raw_event_per_line",
        ),
        "--raw renders nothing": (
            f"{MARKDOWN}::test_answers_are_rendered_on_a_terminal_only_and_not_with_raw",
        ),
        "--usage prints the model, tokens, cost and seconds on stderr": (
            f"{SHELL}::test_usage_is_shown_on_request",
        ),
        "--no-log is rejected with the reason": (
            f"{PROMISED}::test_an_answer_without_a_log_is_rejected_with_the_reason",
        ),
    },
    "output": {
        "answers go to stdout and everything else to stderr": (
            f"{MESSAGE}::test_only_the_answer_goes_to_stdout",
            f"{PROGRESS}::test_progress_is_on_stderr_and_piped_output_is_unchanged",
        ),
        "colour and Markdown appear only on a terminal": (
            f"{MARKDOWN}::test_answers_are_rendered_on_a_terminal_only_and_not_with_raw",
            f"{MESSAGE}::test_bytes_pass_unchanged_if_stdout_is_not_a_terminal",
        ),
        "NO_COLOR is honoured": (
            f"{PROGRESS}::test_quiet_shows_the_answer_only_and_no_color_has_no_colours",
            f"{MARKDOWN}::test_answers_are_rendered_on_a_terminal_only_and_not_with_raw",
        ),
        "of what peers write, only colours reach a terminal": (
            f"{AT_PROMPT}::test_only_colour_sequences_reach_a_terminal",
            "hostile/attacks/test_escapes.py::test_no_command_writes_a_sequence_of_others_to_the_terminal",
        ),
        "every error shows its hint": (
            f"{HINTS}::test_a_hint_is_shown_over_rest_and_in_the_shell",
            f"{HINTS}::test_a_hint_of_a_failed_turn_or_step_is_shown",
            f"{HINTS}::test_the_hint_of_a_notice_beside_an_answer_is_shown",
        ),
        "no traceback reaches a user": (
            f"{COMMANDS}::test_an_unexpected_error_is_one_sentence_and_logged_with_its_traceback",
            "hostile/test_shell.py::test_invalid_arguments_end_with_an_error_message",
        ),
        "--help works for every command, subcommand and peer": (
            f"{COMMANDS}::test_help_shows_the_syntax_of_each_command",
            f"{COMMANDS}::test_help_of_a_subcommand_shows_its_options_and_two_examples",
            f"{PIPELINE}::test_help_for_a_peer_shows_what_it_does_and_the_options",
        ),
        "--version prints the version": (
            f"{COMMANDS}::test_help_names_every_command_in_80_columns_and_needs_no_hub",
            "e2e/test_wheel.py::test_both_commands_print_the_version_of_the_wheel",
        ),
        "times are local in text and RFC 3339 in JSON": (
            f"{PROMISED}::test_times_are_local_in_text_and_have_a_zone_in_json",
            f"{JSON}::test_json_of_every_command_has_one_form_and_rfc_3339_times",
        ),
        "every command that shows something takes --json, and json where the reference has it": (
            f"{JSON}::test_every_command_that_shows_something_takes_json",
            f"{JSON}::test_json_of_every_command_has_one_form_and_rfc_3339_times",
        ),
        "what is listed fits the screen": (
            f"{TABLES}::test_what_is_listed_fits_the_screen_that_is_resized_meanwhile",
            f"{TABLES}::test_help_is_paged_at_the_width_of_the_screen",
            f"{USAGE}::test_a_narrow_terminal_shows_short_figures_and_no_line_is_too_long",
        ),
    },
    "exit codes": {
        "0 done": (f"{MESSAGE}::test_a_message_is_sent_and_its_answer_goes_to_stdout",),
        "1 the peer failed": (f"{FAILURES}::test_a_failure_is_shown_once_with_its_hint",),
        "2 wrong usage": (f"{FAILURES}::test_a_usage_error_shows_what_is_wrong",),
        "3 unknown peer, command, session, route or the like": (
            f"{SHELL}::test_a_failed_line_has_its_exit_code_and_error_message",
            f"{FORWARDING}::test_a_route_can_be_defined_used_and_listed",
            f"{SESSIONS}::test_an_unknown_session_exits_with_3",
        ),
        "4 no permission": (f"{FAILURES}::test_a_rejected_request_shows_the_reason_and_has_its_exit_code",),
        "5 hub unreachable": (f"{FAILURES}::test_an_unreachable_hub_exits_with_5",),
        "6 the answer ended only by silence": (
            f"{MESSAGE}::test_an_answer_that_ended_only_by_silence_exits_with_6",
            f"{PROMISED}::test_an_answer_that_ended_by_silence_exits_with_6_and_a_screen_with_0",
        ),
        "124 timed out": (f"{SHELL}::test_a_timeout_ends_the_turn",),
        "130 interrupted": (f"{SHELL}::test_ctrl_c_stops_the_turn_in_the_hub",),
        "a line exits with the code of the first stage that failed": (
            f"{PIPELINE}::test_a_failed_stage_ends_the_line_and_shows_why",
        ),
        "if a program fails, the line exits with 1 and stderr names the program's own code": (
            f"{PIPELINE}::test_a_failed_programs_own_exit_code_is_printed",
            f"{PIPELINE}::test_a_program_that_fails_after_a_peer_fails_the_line",
        ),
        "a broadcast with a failure exits with 1 and prints the other answers": (
            f"{PIPELINE}::test_a_broadcast_with_a_failure_shows_the_other_answers",
        ),
        "a closed pipe ends quietly and is no failure": (
            f"{ENDS}::test_a_closed_pipe_ends_the_shell_quietly_and_interrupts_the_turn",
            f"{PIPELINE}::test_a_program_that_closes_its_pipe_stops_the_peer_without_a_failure",
        ),
    },
    "progress": {
        "seconds are counted until the first output": (
            f"{PROGRESS}::test_a_spinner_counts_seconds_and_each_tool_call_is_a_line",
        ),
        "each tool call and its outcome is a line": (
            f"{PROGRESS}::test_a_spinner_counts_seconds_and_each_tool_call_is_a_line",
            f"{SIZES}::test_markdown_tool_calls_and_a_request_share_the_screen",
        ),
        "plans and reasoning are dimmed": (
            f"{PROGRESS}::test_reasoning_and_plans_are_dimmed_above_the_answer",
        ),
        "a broadcast has a line per peer": (
            f"{PROGRESS}::test_a_broadcast_has_a_line_per_peer",
            f"{SIZES}::test_the_lines_of_a_broadcast_stay_below_its_answers",
        ),
        "progress is on stderr": (f"{PROGRESS}::test_progress_is_on_stderr_and_piped_output_is_unchanged",),
        "what takes over two seconds shows its progress": (
            f"{LONG_WORK}::test_work_that_takes_long_shows_its_progress_on_the_terminal",
            f"{LONG_WORK}::test_an_export_that_takes_long_shows_its_progress_on_the_terminal",
            f"{LONG_WORK}::test_a_restore_that_takes_long_shows_its_progress_on_the_terminal",
            "rhetor/maintenance/test_progress.py::test_long_work_shows_a_line_on_a_terminal_and_erases_it",
            f"{LONG_WORK}::test_nothing_is_shown_if_stderr_is_not_a_terminal",
        ),
        "what is typed during a turn is read by the next program": (
            f"{PROGRESS}::test_what_is_typed_during_a_turn_is_not_echoed_and_the_next_program_reads_it",
        ),
    },
    "permission requests": {
        "a request is answered in place by y, a or n": (
            f"{ASKING}::test_a_request_is_answered_in_place_by_a_key",
            f"{INTEROP}::test_a_request_is_answered_in_place",
        ),
        "it appears at the prompt, in a conversation and in a pipeline": (
            f"{ASKING}::test_a_request_at_the_prompt_and_in_a_conversation_is_answered_there",
            f"{ASKING}::test_a_request_in_a_pipeline_is_answered_on_the_controlling_terminal",
            f"{ASKING}::test_requests_of_a_broadcast_are_asked_one_after_the_other",
        ),
        "what will run is shown in full, and an edit as a diff": (
            f"{ASKING}::test_an_edit_is_shown_as_a_diff",
            f"{PERMISSIONS}::test_the_command_of_a_request_is_shown_in_full",
        ),
        "only the options that the agent offers have keys, and d shows the details": (
            f"{ASKING}::test_only_offered_options_have_keys_and_further_ones_have_digits",
        ),
        "text that is typed ahead is flushed and never answers": (
            f"{ASKING}::test_text_never_answers_a_request",
            f"{INTEROP}::test_text_that_is_typed_ahead_answers_nothing",
        ),
        "without a terminal nothing is asked": (f"{ASKING}::test_without_a_terminal_nothing_is_asked",),
        "requests of other peers ring the bell above the input line": (
            f"{NOTICES}::test_a_permission_request_rings_once_above_the_input_line",
            f"{NOTICES}::test_a_wrapped_input_line_and_its_cursor_survive_a_notice",
        ),
        "approve approves the only pending request and otherwise lists them": (
            f"{PERMISSIONS}::test_the_only_pending_request_is_shown_and_approved_without_its_id",
            f"{PERMISSIONS}::test_approve_without_an_id_lists_the_requests_and_approves_none",
        ),
        "the text of a request is a sentence and never cut JSON": (
            f"{PERMISSIONS}::test_every_argument_is_shown_in_full_whatever_the_model_calls_it",
            f"{PERMISSIONS}::test_a_call_without_arguments_is_shown_by_its_title_and_its_texts",
        ),
        "ids may be shortened, and an option may be named": (
            f"{PERMISSIONS}::test_a_request_is_answered_with_one_of_its_own_options",
            f"{PERMISSIONS}::test_invalid_arguments_are_usage_errors",
        ),
        "--answer answers a request with questions": (
            f"{PERMISSIONS}::test_questions_are_answered_by_their_names",
            f"{AGENTS}::test_questions_of_an_agent_can_be_answered_from_the_shell_or_over_rest",
        ),
        "deny denies and never allows": (f"{PERMISSIONS}::test_deny_never_chooses_an_allowing_option",),
        "a message never answers a request": (
            f"{ASKING}::test_a_message_to_a_peer_that_asks_answers_nothing",
            "interop/test_permissions.py::test_a_message_does_not_answer_a_pending_request",
        ),
    },
    "how an answer ends": {
        "a caller that stops waiting never ends a wrapped program": (
            f"{PROGRAMS}::test_a_caller_that_stops_waiting_never_ends_a_wrapped_program",
            f"{PROGRAMS}::test_a_queued_message_is_cancelled_with_its_caller_and_the_running_one_not",
        ),
        "stderr says what continues": (f"{ENDS}::test_stderr_names_a_wrapped_program_that_continues",),
        "SIGTERM and SIGHUP cancel an anonymous turn": (
            f"{ENDS}::test_a_signal_ends_an_anonymous_turn_and_then_the_shell",
            f"{ENDS}::test_a_signal_ends_a_plan_and_its_programs",
        ),
        "without -x, text is typed and not run, and never joins the next message": (
            f"{PROMISED}::test_text_is_typed_into_a_program_and_run_only_with_x",
            f"{MESSAGE}::test_text_that_was_typed_and_not_run_is_reported",
        ),
        "an empty message with -x presses Enter": (
            f"{PROMISED}::test_text_is_typed_into_a_program_and_run_only_with_x",
            f"{MESSAGE}::test_an_empty_message_is_sent_as_enter",
        ),
        "an answer that ended by silence is reported": (
            f"{MESSAGE}::test_an_answer_that_ended_only_by_silence_exits_with_6",
        ),
        "the screen of a full-screen program is an answer": (
            f"{MESSAGE}::test_the_screen_of_a_full_screen_program_is_an_answer",
            f"{PROMISED}::test_an_answer_that_ended_by_silence_exits_with_6_and_a_screen_with_0",
        ),
        "an answer that was cut short is reported, and fails if it is empty": (
            f"{SHELL}::test_an_answer_that_was_cut_short_is_reported_and_fails_if_it_is_empty",
            f"{MESSAGE}::test_a_truncated_answer_is_reported_on_stderr",
        ),
        "wrapped programs answer as the page of programs says": (
            "e2e/test_answers.py::test_programs_answer_as_the_page_says",
        ),
        "answers survive a killed hub, and nothing is sent twice": (
            f"{KILLED}::test_a_line_whose_hub_is_killed_shows_the_end_of_its_turn",
            f"{KILLED}::test_team_chat_whose_hub_is_killed_shows_the_end_of_its_plan",
        ),
        "the shell waits up to 30 s for the next hub, and then exits with 5": (
            f"{KILLED}::test_a_turn_goes_on_under_the_next_hub_and_the_shell_waits_for_that_hub_up_to_30_seconds",
            f"{KILLED}::test_team_chat_whose_hub_is_killed_shows_the_end_of_its_plan",
        ),
    },
    "grammar": {
        "lines are joined by ; && and ||": (
            f"{PIPELINE}::test_a_line_in_a_list_runs_as_its_condition_says",
            f"{PIPELINE}::test_a_message_is_not_sent_in_part",
        ),
        "# begins a comment at the start of a line, and a backslash continues one": (
            f"{PIPELINE}::test_a_script_runs_its_lines_and_exits_with_the_last_code",
            f"{AT_PROMPT}::test_comments_and_continued_lines_work_at_the_prompt",
        ),
        "a line reads and writes files": (f"{PIPELINE}::test_files_of_a_line_are_opened_by_the_shell",),
        "a word is a command, an alias, a peer, a program, or exit 3": (
            f"{PIPELINE}::test_a_peer_comes_before_a_program_of_its_name",
            f"{ALIASES}::test_an_alias_is_a_word_of_the_grammar",
            f"{PIPELINE}::test_an_unknown_name_exits_with_3",
        ),
        "peer names ignore case and may contain hyphens": (
            f"{PROGRAMS}::test_the_name_of_a_program_ignores_case_everywhere",
            f"{PIPELINE}::test_a_peer_is_found_in_upper_and_lower_case",
        ),
        "from another shell, no program is run": (
            f"{PROMISED}::test_from_another_shell_no_program_is_run_and_a_failure_is_not_passed_on",
        ),
        "commands and persons cannot name peers": (
            f"{PROMISED}::test_no_peer_has_the_name_of_a_command_or_of_a_person",
        ),
        "an unknown option is exit 2, and the nearest one is named": (
            f"{FAILURES}::test_a_usage_error_shows_what_is_wrong",
            f"{COMMANDS}::test_an_option_of_a_command_becomes_neither_text_nor_a_value",
        ),
        "-- ends the options": (f"{COMMANDS}::test_text_of_a_command_can_follow_two_dashes",),
        "an option needs its value": (f"{FAILURES}::test_a_usage_error_shows_what_is_wrong",),
        "-x takes a delimiter after = or as the last word, with escape sequences": (
            f"{PROMISED}::test_the_delimiter_is_that_of_the_message_then_of_the_peer_then_of_the_kind",
            f"{FAILURES}::test_a_usage_error_shows_what_is_wrong",
        ),
        "variables are expanded, but not in single quotes": (
            f"{PIPELINE}::test_variables_are_replaced_in_what_peers_and_commands_get",
        ),
        "scripts have arguments": (f"{PIPELINE}::test_a_script_gets_its_arguments",),
        "an unset variable is exit 2": (f"{PIPELINE}::test_a_variable_that_is_not_set_exits_with_2",),
        "cd, export, exit and quit are built in": (
            f"{PIPELINE}::test_cd_returns_to_the_previous_folder",
            f"{PIPELINE}::test_a_builtin_with_invalid_arguments_exits_with_2",
        ),
        "quotes bind": (
            f"{PIPELINE}::test_a_programs_output_goes_to_the_peer_without_its_last_newline",
            f"{PROMISED}::test_what_is_quoted_is_text",
        ),
        "programs run in the shell's own folder and environment": (
            f"{PIPELINE}::test_cd_and_the_environment_apply_to_programs",
            f"{PIPELINE}::test_a_line_of_programs_runs_without_the_hub",
        ),
        "each run of peers is one request": (f"{PIPELINE}::test_a_run_of_peers_is_one_request",),
        "a peer after a program waits until the program exits with 0": (
            f"{PIPELINE}::test_no_peer_is_called_after_a_failed_program",
        ),
        "a program receives the answer as it arrives": (
            f"{PIPELINE}::test_a_program_receives_the_answer_as_it_arrives",
        ),
        "in a pipeline, a wrapped program runs its input": (
            f"{PROMISED}::test_text_is_typed_into_a_program_and_run_only_with_x",
            f"{PROGRAMS}::test_a_pipeline_can_join_a_terminal_an_interpreter_a_tool_and_a_specialist",
        ),
        "earlier answers are dimmed under their headings, and the prompt shows that of the last": (
            f"{AT_PROMPT}::test_answers_of_earlier_stages_are_shown_dimmed",
            f"{OLDER}::test_each_answer_of_a_pipeline_at_the_prompt_has_a_heading",
        ),
        "a group answers the same input, and the next peer receives both answers": (
            f"{SHELL}::test_the_peer_after_a_group_receives_all_answers",
        ),
        "answers of a broadcast are whole, in the order in which they end": (
            f"{PIPELINE}::test_several_last_answers_are_printed_whole_under_their_names",
        ),
        "the chosen peer of a capability is named, from a score of 0.5": (
            f"{PIPELINE}::test_a_capability_shows_the_chosen_peer",
            f"{PROMISED}::test_a_peer_is_chosen_for_a_capability_of_at_least_one_half",
        ),
        "after a failed stage no later one is called": (
            f"{PROVIDERS}::test_after_a_failing_provider_no_later_peer_is_called",
            f"{PIPELINE}::test_a_program_after_a_failed_peer_does_not_run_on_partial_output",
        ),
        "an answer that is cut off says so, fails its pipe, and reaches no later stage of its line": (
            f"{PROVIDERS}::test_a_cut_answer_is_streamed_and_is_never_taken_for_a_whole_one",
            f"{PIPELINE}::test_a_last_stage_that_fails_in_its_answer_says_that_it_is_cut_off",
        ),
        "a failure is never passed on through a Unix pipe": (
            f"{PROMISED}::test_from_another_shell_no_program_is_run_and_a_failure_is_not_passed_on",
        ),
        "no answer can pass for that of another peer": (
            f"{PIPELINE}::test_no_answer_can_pass_for_the_part_of_another_peer",
        ),
    },
    "peers and programs": {
        "list shows peers by kind with model, status, pid and forwards": (
            f"{PROMISED}::test_each_kind_of_peer_is_listed_with_its_place",
            f"{COMMANDS}::test_list_shows_peers_by_kind",
            f"{COMMANDS}::test_list_prints_json",
            f"{MODELS}::test_lists_show_the_model",
        ),
        "list shows machines, and that they are offline": (
            "machines/test_joining.py::test_a_machine_that_is_lost_is_offline_with_its_evidence",
        ),
        "list answers in two seconds and names the peers that did not": (
            f"{PROGRAMS}::test_a_hub_starts_and_lists_its_peers_even_if_a_host_is_stopped",
        ),
        "sockets lists active sockets": (f"{COMMANDS}::test_sockets_shows_readers_and_unread_messages",),
        "ci-terminal runs a program in this terminal, and Ctrl-] leaves it running": (
            f"{TOOLS}::test_in_a_terminal_the_program_is_attached_at_the_size_of_the_window",
            f"{ATTACHING}::test_a_detached_program_continues_and_can_be_reattached",
        ),
        "with &, --detach or without a terminal it runs in the background": (
            f"{TOOLS}::test_an_ampersand_runs_the_program_in_the_background",
            f"{TOOLS}::test_detach_does_not_attach_the_program",
            f"{TOOLS}::test_a_terminal_program_runs_in_this_folder_and_environment",
        ),
        "--prompt names the prompt at which an answer ends": (
            f"{PROMISED}::test_an_answer_that_ended_by_silence_exits_with_6_and_a_screen_with_0",
        ),
        "ci-tool wraps a program on pipes": (
            f"{TOOLS}::test_a_tool_runs_on_pipes",
            f"{ATTACHING}::test_a_wrapped_tool_answers_can_be_waited_for_and_ended",
        ),
        "--on-exit ends a program with the hub or keeps it": (
            f"{PROMISED}::test_a_program_ends_with_the_hub_or_survives_it_as_chosen",
        ),
        "tools lists, shows, launches and terminates coding agents and programs": (
            f"{TOOLS}::test_tools_lists_tools_and_how_to_install_missing_ones",
            f"{TOOLS}::test_tools_status_shows_the_health_of_a_tool",
            f"{TOOLS}::test_capabilities_are_listed_best_first",
            f"{TOOLS}::test_a_tool_is_launched_and_terminated",
            f"{TOOLS}::test_terminate_also_ends_a_wrapped_program",
        ),
        "several terminals attach to one program, and -r only looks": (
            f"{ATTACHING}::test_two_windows_show_the_same_screen_at_the_smaller_size",
            f"{ATTACH}::test_a_read_only_view_sends_no_keys_and_ends_with_ctrl_c",
        ),
        "attach shows a status line with the key that detaches": (
            f"{ATTACHING}::test_a_full_screen_program_and_the_status_line_share_a_terminal_of_any_size",
            f"{ATTACH}::test_ctrl_bracket_detaches_and_restores_the_terminal",
        ),
        "programs and their terminals survive a killed hub": (
            f"{ATTACHING}::test_a_program_and_its_terminal_survive_a_killed_hub",
            f"{PROGRAMS}::test_each_line_is_logged_once_although_the_hub_is_killed_repeatedly",
        ),
        "explain says why a peer has its status": (
            f"{TOOLS}::test_explain_shows_the_reasons_for_a_status",
            f"{TOOLS}::test_explain_shows_how_a_program_ended_and_rejects_unknown_peers",
        ),
        "forward shows answers at a terminal or sends them to a peer": (
            f"{FORWARDS}::test_forward_prints_the_fixed_wording",
            f"{FORWARDING}::test_each_answer_is_forwarded_once_although_the_hub_is_killed_repeatedly",
        ),
        "forward with json adds from, to, time and purpose": (
            f"{OLDER}::test_the_output_of_a_tool_is_forwarded_to_a_named_shell",
            f"{FORWARDED}::test_a_json_forward_is_one_object_with_from_to_time_and_purpose",
        ),
        "forward with -x runs the text in a program on pipes": (
            f"{PROMISED}::test_a_program_runs_the_answers_that_are_forwarded_to_it_with_x",
        ),
        "over a program, forwarded messages are shown and never typed into it": (
            f"{FORWARDED}::test_over_a_program_a_message_is_shown_briefly_and_again_after_detaching",
        ),
        "a route is named, used, listed, shown and removed": (
            f"{FORWARDS}::test_a_route_is_defined_shown_and_removed",
            f"{FORWARDING}::test_a_route_can_be_defined_used_and_listed",
        ),
        "a hop is a peer, a capability, a team or a route": (
            f"{PROMISED}::test_a_hop_of_a_route_is_a_peer_a_capability_a_team_or_a_route",
        ),
        "purpose sets what a terminal or a peer is for": (
            f"{FORWARDS}::test_purpose_sets_the_purpose_of_a_peer_or_a_named_terminal",
            f"{FORWARDING}::test_a_terminal_without_a_name_has_a_purpose_until_it_is_closed",
        ),
        "context is staged, promoted, sent once and recorded": (
            f"{PROMISED}::test_context_is_sent_once_before_the_next_message",
            f"{FORWARDING}::test_context_is_sent_once_although_the_hub_is_killed",
        ),
        "inbox has three trays, in the order in which messages were sent": (
            f"{PROMISED}::test_messages_wait_in_three_trays_in_the_order_in_which_they_were_sent",
            f"{INBOX}::test_the_trays_of_this_terminal_are_counted",
            f"{INBOX}::test_messages_are_shown_taken_and_removed",
        ),
        "an alias has arguments and calls no alias": (
            f"{PROMISED}::test_an_alias_is_created_run_shown_and_deleted_and_calls_no_alias",
            f"{ALIASES}::test_an_alias_runs_its_line_with_arguments_and_piped_input",
        ),
        "projects are created, shown, changed and forwarded": (
            f"{MCP}::test_projects_are_created_shown_and_changed",
            f"{MCP}::test_the_answers_of_a_project_are_forwarded_to_this_terminal_or_another_place",
        ),
        "history and search find questions and answers": (
            f"{SHELL}::test_history_and_search_find_earlier_messages",
        ),
        "they are filtered by peer, session, time and model": (
            f"{PROMISED}::test_a_conversation_is_saved_resumed_and_found_by_its_name",
        ),
        "usage has bar charts on a terminal and counts to the token": (
            f"{USAGE}::test_a_terminal_shows_a_bar_for_each_group",
            f"{USAGE}::test_a_program_gets_all_figures_in_a_table",
            "e2e/test_usage.py::test_the_totals_of_a_day_are_the_counts_of_the_provider",
        ),
        "models shows what exists, who uses it, the price and what it takes": (
            f"{MODELS}::test_models_are_shown_with_what_they_take_and_cost",
        ),
        "whoami shows the caller": (f"{INBOX}::test_whoami_shows_the_caller",),
        "console opens the web console, or prints its link": (
            f"{CONSOLE}::test_the_browser_opens_the_link",
            f"{CONSOLE}::test_over_ssh_the_link_is_printed_with_the_command_that_forwards_the_port",
            "e2e/test_console.py::test_the_link_of_both_commands_logs_in_a_browser_and_a_hub_is_started_for_it",
        ),
        "console logins lists the browsers that are logged in, and console logout ends their logins": (
            "aish/commands/test_console_logins.py::test_logins_are_listed_with_the_browser_in_words",
            "e2e/test_console.py::test_a_login_is_listed_and_ended_from_the_shell",
        ),
        "console --phone shows a QR code that logs in a phone, or names the missing settings": (
            "e2e/test_phone.py::test_a_phone_logs_in_with_the_qr_code_that_the_command_prints",
            "e2e/test_phone.py::test_without_tls_the_command_names_the_settings_that_are_missing",
        ),
        "doctor advises what is missing, in under two seconds": (
            "e2e/test_doctor.py::test_doctor_does_not_wait_for_programs_that_do_not_answer",
            f"{COMMANDS}::test_doctor_shows_missing_programs_and_their_install_commands",
            f"{COMMANDS}::test_doctor_has_a_row_for_every_agent",
        ),
        "mcp install adds the hub to an agent and shows what is written": (
            f"{PROMISED}::test_the_hub_is_added_to_an_agent_and_what_is_written_is_shown",
            f"{MCP}::test_a_configuration_that_cannot_be_read_is_not_changed",
        ),
        "MCP servers are listed, added, removed and tested": (
            f"{MCP}::test_servers_are_listed_added_removed_and_tested",
        ),
    },
    "sessions": {
        "list shows name, first words, age, state, messages and cost": (
            f"{SESSIONS}::test_list_shows_open_sessions_and_with_all_every_session",
            f"{PROMISED}::test_a_conversation_is_saved_resumed_and_found_by_its_name",
        ),
        "a session that never started is not listed, and an ended one only with --all": (
            f"{SESSIONS}::test_unused_sessions_are_not_listed_and_the_last_used_one_comes_first",
            f"{PROMISED}::test_a_conversation_is_saved_resumed_and_found_by_its_name",
        ),
        "create, resume, save, fork, export and delete": (
            f"{KEPT}::test_a_named_conversation_survives_a_killed_hub",
            f"{KEPT}::test_an_unnamed_conversation_can_be_saved_under_a_name",
            f"{SESSIONS}::test_a_new_session_is_in_the_current_folder_by_default",
        ),
        "resume opens a conversation on a terminal": (
            f"{SESSIONS}::test_resume_at_a_terminal_opens_a_conversation",
        ),
        "show prints the messages": (f"{SESSIONS}::test_show_prints_the_messages",),
        "checkpoints are a tree, and diff and restore cover talk and files": (
            f"{CHECKPOINTS}::test_a_session_goes_back_to_a_checkpoint_with_its_files",
            f"{CHECKPOINTS}::test_a_person_is_shown_the_changes_and_asked",
        ),
        "a session is forked into a folder or a worktree": (
            f"{CHECKPOINTS}::test_a_session_is_forked_into_a_folder_and_into_a_worktree",
        ),
        "import reads the transcripts of coding agents": (
            f"{SESSIONS}::test_import_reports_the_result_of_each_file",
            "interop/test_sessions.py::test_a_conversation_without_the_hub_is_imported_and_can_be_continued",
        ),
        "a session whose program has ended is not active": (
            f"{PROMISED}::test_a_session_whose_program_has_ended_is_not_active",
        ),
        "each failure has its exit code": (
            f"{KEPT}::test_each_failure_of_a_session_command_has_its_exit_code",
        ),
    },
    "setting up": {
        "setup finds what can answer, tries it and writes the configuration": (
            f"{SETTING_UP}::test_setup_reports_without_a_terminal_and_chooses_once",
            f"{SETTING_UP}::test_setup_asks_in_a_terminal_of_any_size_and_stores_a_key_on_the_way",
        ),
        "keys are read from stdin or a hidden prompt, never from a word, and never shown": (
            f"{SETTING_UP}::test_keys_are_read_from_stdin_or_a_hidden_prompt_and_used_by_the_running_hub",
        ),
        "keys are kept in the system's keyring if there is one, and are in no list of processes": (
            f"{SETTING_UP}::test_keys_are_kept_in_the_keyring_of_the_system_and_are_in_no_list_of_processes",
        ),
        "config edit validates before it replaces": (
            f"{SETTING_UP}::test_an_edited_configuration_is_checked_before_it_replaces_the_file",
            f"{SETTING_UP}::test_an_invalid_configuration_can_be_edited_again_on_a_terminal",
        ),
        "specialists are added, changed and removed, and comments survive": (
            f"{SETTING_UP}::test_specialists_are_added_changed_and_removed_in_the_running_hub_and_comments_stay",
        ),
    },
    "notifications": {
        "notify test tries each recipient and says what happened": (
            f"{NOTIFY}::test_a_command_is_notified_of_a_permission_request_and_the_test_says_who_cannot_be_reached",
        ),
        "a failed delivery is repeated with the same id, signed, and its outcomes are in the log": (
            f"{NOTIFY}::test_a_notification_that_failed_is_sent_by_the_next_hub_with_the_same_id",
        ),
        "ntfy, a webhook, a command and the desktop are told of each type, and of long turns only": (
            f"{NOTIFY}::test_each_kind_of_recipient_is_told_of_each_type_and_what_failed_is_repeated",
        ),
        "no notification is lost or told twice if the hub is killed": (
            f"{NOTIFY}::test_a_hub_that_is_killed_again_and_again_loses_no_notification_and_gives_none_a_second_id",
        ),
    },
    "schedules": {
        "a schedule is added, listed, run, paused and removed, and its answers are in a session": (
            f"{SCHEDULES}::test_a_schedule_is_added_shown_run_paused_and_removed_from_the_shell",
        ),
        "a missed run happens once": (
            f"{SCHEDULES}::test_a_killed_hub_runs_what_was_missed_once_and_status_says_that_none_runs",
        ),
        "overlap is skipped or queued, as chosen": (
            f"{PROMISED}::test_overlapping_runs_of_a_schedule_are_skipped_or_queued_as_chosen",
        ),
        "what cannot be scheduled is said before it is stored": (
            f"{SCHEDULES}::test_what_cannot_be_scheduled_is_said_with_an_exit_code_before_it_is_stored",
        ),
    },
    "answers that read well": {
        "Markdown in small pieces ends as when rendered at once": (
            f"{MARKDOWN}::test_small_pieces_end_on_the_screen_as_when_rendered_at_once",
            f"{MARKDOWN}::test_a_long_page_in_single_bytes_ends_as_when_rendered_at_once",
        ),
        "a resize redraws only the open block": (
            f"{MARKDOWN}::test_a_resize_in_the_middle_redraws_the_open_block_at_the_new_width",
        ),
        "what wrapped programs print is not rendered": (
            f"{MARKDOWN}::test_what_a_wrapped_program_prints_is_not_rendered",
        ),
        "each peer has a colour of its own": (
            f"{MARKDOWN}::test_answers_of_a_broadcast_and_of_a_pipeline_are_rendered_under_their_headings",
        ),
        "rich is imported only on a terminal": (f"{MARKDOWN}::test_rich_is_not_imported_without_a_terminal",),
        "a turn, a broadcast and a conversation fit a screen that is resized": (
            f"{SIZES}::test_markdown_tool_calls_and_a_request_share_the_screen",
            f"{SIZES}::test_the_lines_of_a_broadcast_stay_below_its_answers",
            f"{SIZES}::test_a_conversation_continues_on_a_resized_screen",
        ),
    },
    "prompt": {
        "Tab completes every position, in a menu that fits": (
            f"{PROMPT_LINE}::test_notices_the_menu_and_the_bottom_line_do_not_disturb_each_other",
        ),
        "Alt-Enter, history search and the editor": (f"{PROMPT_LINE}::test_the_keys_of_the_prompt",),
        "the bottom line counts turns, unread messages and permissions": (
            f"{PROMPT_LINE}::test_notices_the_menu_and_the_bottom_line_do_not_disturb_each_other",
            f"{PROMPT_LINE}::test_the_bottom_line_follows_the_inbox_and_the_turns_of_this_prompt_and_of_a_restarted_hub",
        ),
        "it greets with one line": (
            f"{PROMPT_LINE}::test_notices_the_menu_and_the_bottom_line_do_not_disturb_each_other",
        ),
        "help goes through a pager, by topic": (
            f"{PROMPT_LINE}::test_the_keys_of_the_prompt",
            f"{TABLES}::test_help_is_paged_at_the_width_of_the_screen",
        ),
        "pasted lines run one after the other, and are one message in a conversation": (
            f"{PROMPT_LINE}::test_the_keys_of_the_prompt",
            f"{NOTICES}::test_pasted_lines_are_one_message_in_a_conversation",
        ),
        "a conversation has its commands, and // sends a slash": (
            f"{SLASH}::test_the_commands_change_save_and_take_back_the_conversation",
        ),
        "a line prints the same at the prompt as with -c": (
            f"{RESUMING}::test_a_line_prints_the_same_at_the_prompt_and_with_dash_c_but_for_the_last_heading",
        ),
    },
    "help": {
        "Tab completes in bash, zsh and fish": (
            f"{COMPLETION}::test_tab_completes_in_a_real_shell",
            "e2e/test_completion.py::test_names_of_a_real_hub_are_completed_and_suggested",
        ),
        "completion loads nothing that takes long": (
            f"{COMPLETION}::test_completion_imports_no_module_that_takes_long",
        ),
        "after make setup, man shows the manual page": (
            f"{MAN}::test_make_setup_has_installed_the_manual_page",
        ),
        "there is a manual page with every command and option": (
            f"{MAN}::test_man_shows_every_command_and_option",
        ),
        "the word that was probably meant follows on a line of its own": (
            f"{HINTS}::test_the_name_that_was_probably_meant_follows_on_a_line_of_its_own",
        ),
        "ten tasks of every day take two commands at most": (
            "e2e/test_daily_tasks.py::test_each_daily_task_takes_at_most_two_commands_that_work",
        ),
        "a short message loads few modules": (f"{MESSAGE}::test_one_message_imports_only_these_modules",),
    },
    "fixed texts": {
        "Forwarding apollo messages to jill (JSON mode)": (
            f"{FORWARDS}::test_forward_prints_the_fixed_wording",
        ),
        "Stopped forwarding apollo (was going to jill)": (
            f"{FORWARDS}::test_unforward_prints_the_fixed_wording",
        ),
        "No forwards defined, No routes defined": (
            f"{FORWARDS}::test_empty_lists_are_reported",
            f"{PROMISED}::test_a_hop_of_a_route_is_a_peer_a_capability_a_team_or_a_route",
        ),
        "Created alias 'n'": (
            f"{PROMISED}::test_an_alias_is_created_run_shown_and_deleted_and_calls_no_alias",
        ),
        "Forwarding X output to Y terminal (with tool metadata)": (
            f"{FORWARDS}::test_forward_of_a_tool_to_a_terminal_prints_the_words_that_scripts_read",
        ),
        "Route 'review' created: numa → apollo → tekton": (
            f"{FORWARDS}::test_a_route_is_defined_shown_and_removed",
        ),
        "team-chat requires a message": (f"{PIPELINE}::test_team_chat_needs_a_message",),
        "Error: Unknown CI or command: X": (
            f"{HINTS}::test_the_name_that_was_probably_meant_follows_on_a_line_of_its_own",
        ),
        "Error: Invalid inbox type 'bogus'. Must be: prompt, new, keep": (
            f"{INBOX}::test_an_unknown_tray_exits_with_2_and_the_words_that_scripts_read",
        ),
        "the message's id of eight hexadecimal digits, and the keys of its JSON": (
            f"{PROMISED}::test_messages_wait_in_three_trays_in_the_order_in_which_they_were_sent",
        ),
        "No AI found for capability: X": (f"{OLDER}::test_no_capable_peer_is_an_error_that_scripts_know",),
    },
}
