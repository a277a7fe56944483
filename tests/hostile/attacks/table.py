"""The controls of the hub, the attacks on each, the refusal, and the tests that see it.

A test is named by its file below `tests/` and its function. `test_table.py` checks that all of them exist.
"""

from __future__ import annotations

from dataclasses import dataclass

REST, SSE, WS, WS_AI, WS_SOCKET = "rest", "sse", "ws", "ws.ai", "ws.socket"
WS_ATTACH, WS_MCP, WS_RESPONSES, WS_NODE = "ws.attach", "ws.mcp", "ws.responses", "ws.node"
MCP, SOCKETIO, UNIX, CLI = "mcp", "socketio", "unix", "cli"
OVER_TCP = (REST, SSE, WS, WS_AI, WS_SOCKET, WS_ATTACH, WS_MCP, MCP, SOCKETIO)
EVERY = (*OVER_TCP, WS_RESPONSES, WS_NODE, UNIX)


@dataclass(frozen=True)
class Attack:
    """What is tried, through which APIs, how it is refused, and which tests see that."""

    what: str
    refusal: str
    apis: tuple[str, ...]
    tests: tuple[str, ...]


def attack(what: str, refusal: str, apis: tuple[str, ...], *tests: str) -> Attack:
    return Attack(what, refusal, apis, tests)


ENTRANCES = "hostile/attacks/test_entrances.py"
GATE = "rhetor/transports/server/test_gate.py"
LOGINS = "rhetor/transports/rest/test_logins.py"
NETWORK_CONSOLE = "rhetor/transports/rest/test_network_console.py"
PAYLOADS = "console/test_payloads.py"
PAGE = "rhetor/transports/console/test_console.py"
LOGIN_PAGE = "rhetor/transports/server/test_login_page.py"
CORS = "rhetor/transports/server/test_cors.py"
LIFETIME = "rhetor/transports/server/test_lifetime.py"
TOKENS = "rhetor/transports/server/test_tokens.py"
FORGED = "rhetor/transports/server/test_forged_tokens.py"
ISSUERS = "rhetor/transports/server/test_issuers.py"
TLS = "rhetor/transports/server/test_tls.py"
SCOPES = "rhetor/transports/test_scopes.py"
ISOLATION = "rhetor/transports/test_isolation.py"
MACHINE_SCOPE = "machines/test_scope.py"
JOINING = "machines/test_joining.py"
SCHEDULES = "rhetor/hub/schedules/test_schedules.py"
SHARES = "rhetor/transports/test_shares.py"
RATES = "rhetor/transports/server/test_rates.py"
CONNECTIONS = "rhetor/transports/server/test_connections.py"
HUB_SOCKETIO = "rhetor/transports/socketio/test_hub.py"
AGENTS = "e2e/test_agents.py"
AUDITED = "rhetor/transports/test_audit.py"
CANARY = "e2e/test_canary_at_rest.py"
SEALED = "rhetor/store/sqlite/test_sealed.py"
ATTRIBUTION = "rhetor/hub/turns/test_attribution.py"
FORWARDS = "rhetor/hub/forwarding/test_forwards.py"
URLS = "hostile/attacks/test_urls.py"
PATHS = "hostile/attacks/test_paths.py"
SPAWNING = "hostile/attacks/test_spawning.py"
NOTIFIED = "rhetor/drivers/notifications/test_senders.py"
NOTIFY = "rhetor/test_settings_notify.py"
REDACTION = "hostile/attacks/test_redaction.py"
AUDIT_FILE = "rhetor/maintenance/test_audit.py"

TABLE: dict[str, tuple[Attack, ...]] = {
    "bind": (
        attack(
            "listen on an address that others can reach, without TLS",
            "exit 2 with the reason",
            (CLI,),
            "e2e/test_life.py::test_a_hub_with_unusable_flags_does_not_start_and_names_the_reason",
            f"{GATE}::test_the_hub_binds_only_to_loopback_addresses_without_tls",
        ),
        attack(
            "connect as another user",
            "the connection is dropped",
            (UNIX,),
            f"{GATE}::test_another_user_is_rejected_on_the_unix_socket",
        ),
    ),
    "Host and Origin": (
        attack(
            "a Host that is not the hub's, in 22 notations",
            "421",
            OVER_TCP,
            f"{ENTRANCES}::test_an_unknown_host_is_421_on_every_api_whatever_else_the_request_has",
        ),
        attack(
            "an Origin that is not the hub's: null, another port or scheme, names that only look like it",
            "403",
            OVER_TCP,
            f"{ENTRANCES}::test_an_unknown_origin_is_403_on_every_api_even_with_the_token",
            f"{HUB_SOCKETIO}::test_the_handshake_checks_the_origin_and_the_host",
        ),
        attack(
            "any Origin, and any Host but localhost, on the Unix socket",
            "403, 421",
            (UNIX,),
            f"{ENTRANCES}::test_the_unix_socket_rejects_every_origin_and_other_hosts_on_every_api",
        ),
        attack(
            "a body before the check, headers twice",
            "421, 403, 400",
            OVER_TCP,
            f"{ENTRANCES}::test_host_and_origin_are_checked_before_the_body_is_read",
            f"{ENTRANCES}::test_a_header_that_admission_depends_on_must_not_occur_twice",
        ),
    ),
    "CORS": (
        attack(
            "the preflight of another origin",
            "403 without an allow header",
            (REST, SSE, MCP, SOCKETIO),
            f"{ENTRANCES}::test_a_preflight_of_another_origin_carries_no_allow_header_on_any_api",
            f"{CORS}::test_no_other_page_may",
            f"{CORS}::test_a_preflight_to_another_host_name_is_rejected",
        ),
    ),
    "auth": (
        attack(
            "no token, on each route with each method, and on each WebSocket before its upgrade",
            "401",
            OVER_TCP,
            f"{ENTRANCES}::test_without_a_token_every_route_is_401_with_every_method",
            f"{GATE}::test_every_route_but_the_public_ones_is_401_without_a_token",
            f"{HUB_SOCKETIO}::test_a_client_needs_the_token_over_tcp_but_not_on_the_unix_socket",
            f"{HUB_SOCKETIO}::test_a_client_without_a_valid_connect_is_closed",
            f"{TOKENS}::test_routes_without_a_token_reject_an_empty_request",
        ),
        attack(
            "a wrong token, a token in another header or in the URL",
            "401",
            OVER_TCP,
            f"{ENTRANCES}::test_without_a_valid_token_every_api_is_401",
            f"{ENTRANCES}::test_a_token_in_the_url_gives_no_access",
            f"{HUB_SOCKETIO}::test_wrong_tokens_are_limited",
        ),
        attack(
            "a route without a policy",
            "the tests fail",
            (),
            f"{GATE}::test_a_route_without_a_policy_raises",
            f"{SCOPES}::test_every_command_has_a_scope",
        ),
        attack(
            "a token file that others can read",
            "no token is valid",
            (REST,),
            "rhetor/auth/test_tokens.py::test_a_missing_or_readable_token_file_rejects_every_token",
        ),
        attack(
            "generated requests with no, invalid, read-only and other principals' tokens",
            "401, 403, 404 as documented",
            (REST,),
            "hostile/test_schemathesis_auth.py::test_other_callers_get_documented_refusals_and_see_nothing",
        ),
    ),
    "browser": (
        attack(
            "use a code twice, a cookie from another page, host or method",
            "401, 403",
            (REST,),
            f"{GATE}::test_a_login_code_works_once_and_sets_an_http_only_cookie",
            f"{TLS}::test_a_login_over_tls_gives_a_secure_cookie_of_this_host_only",
        ),
        attack(
            "make a browser log in or out from another site, load a link in advance, choose the cookie or "
            "the page that follows",
            "a person is asked first, 403, or the choice is ignored",
            (REST,),
            f"{LOGINS}::test_a_page_of_another_site_cannot_log_a_browser_in_without_a_click",
            f"{LOGINS}::test_a_page_of_another_site_cannot_log_a_browser_out",
            f"{LOGINS}::test_loading_a_link_in_advance_does_not_use_its_code",
            f"{LOGINS}::test_a_login_always_leads_to_the_console_and_gets_a_cookie_of_the_hubs_choice",
        ),
        attack(
            "send a cookie to another host name, learn the console's name, use a code that another user saw",
            "401, 421, 403, and no page shows the name",
            (REST,),
            f"{LOGINS}::test_a_cookie_is_valid_only_at_the_host_name_at_which_it_was_set",
            f"{LOGIN_PAGE}::test_the_page_never_shows_the_name_of_the_console",
            f"{LOGINS}::test_another_user_of_this_machine_cannot_use_a_code_that_it_saw",
        ),
        attack(
            "use the code of a QR code twice or on this machine, get one for a name of another host",
            "401, 422",
            (REST,),
            f"{NETWORK_CONSOLE}::test_the_qr_code_of_a_link_logs_in_a_device_once",
            f"{NETWORK_CONSOLE}::test_a_code_for_the_network_is_invalid_on_this_machine_and_the_other_way_round",
            f"{NETWORK_CONSOLE}::test_the_caller_chooses_the_name_or_gets_an_address_of_this_machine",
        ),
        attack(
            "end or see the logins of another caller, use a login that was ended",
            "404, and its connections close within 5 s",
            (REST, WS),
            f"{LOGINS}::test_a_caller_sees_and_ends_its_own_logins_and_the_owner_all",
            f"{LOGINS}::test_the_connections_of_an_ended_login_close_and_others_stay_open",
        ),
        attack(
            "an agent requests a code",
            "403",
            (REST,),
            f"{AGENTS}::test_a_program_gets_no_login_code_and_no_history_of_the_owner",
        ),
        attack(
            "get more by a login than by the token that requested it",
            "the same scopes, and the same end",
            (REST,),
            f"{TOKENS}::test_a_login_in_a_browser_passes_on_no_more_than_its_token",
        ),
    ),
    "lifetime": (
        attack(
            "stay connected after the token was replaced, the login expired or the token was revoked",
            "4500, 4001, or an `error` frame, within 5 s",
            (SSE, WS, WS_AI, WS_SOCKET, WS_ATTACH, SOCKETIO),
            f"{LIFETIME}::test_a_new_token_ends_connections_of_the_old_one_on_every_api",
            f"{LIFETIME}::test_an_expired_login_ends_its_connections_on_every_api",
            f"{TOKENS}::test_an_issued_token_opens_every_api_until_it_is_revoked",
            f"{TOKENS}::test_an_expired_token_ends_its_connections_on_every_api",
            f"{HUB_SOCKETIO}::test_a_replaced_token_ends_the_session",
        ),
    ),
    "authorization": (
        attack(
            "do what needs another scope",
            "403 with the scope",
            OVER_TCP,
            f"{SCOPES}::test_every_route_refuses_a_caller_without_its_scope_and_names_it",
            f"{SCOPES}::test_websockets_check_the_scope_of_each_command",
            f"{SCOPES}::test_mcp_checks_the_scope_of_each_tool",
            f"{SCOPES}::test_socketio_needs_read_to_connect_and_approve_to_answer",
            f"{SCOPES}::test_typing_into_a_terminal_needs_send_and_approve",
        ),
        attack(
            "read, follow or change what belongs to another",
            "404",
            OVER_TCP,
            f"{ISOLATION}::test_on_every_route_what_belongs_to_another_does_not_exist",
            f"{ISOLATION}::test_over_websockets_what_belongs_to_another_does_not_exist",
            f"{ISOLATION}::test_over_socketio_what_belongs_to_another_does_not_exist",
            f"{ISOLATION}::test_over_mcp_what_belongs_to_another_does_not_exist",
            f"{ISOLATION}::test_an_idempotency_key_of_another_caller_replays_nothing",
        ),
        attack(
            "let a schedule do more than its creator may, or outlive the creator's token",
            "its rights are those of its creator, and end with the token",
            (REST,),
            f"{SCHEDULES}::test_a_run_has_the_rights_that_its_creator_had_and_the_audit_names_the_schedule",
            f"{SCHEDULES}::test_a_schedule_of_a_token_ends_with_the_token",
            f"{SCHEDULES}::test_a_caller_of_a_teams_own_issuer_cannot_leave_a_schedule_behind",
            f"{SCHEDULES}::test_the_session_of_a_schedule_accepts_no_other_messages",
        ),
        attack(
            "declare a scope",
            "it is ignored",
            (REST, SOCKETIO),
            f"{SCOPES}::test_a_scope_that_the_client_declares_is_ignored",
        ),
        attack(
            "do more in a shared session than was shared, or after it was taken back",
            "403, 404, and open streams end",
            (REST, SSE, WS),
            f"{SHARES}::test_the_scopes_of_a_share_and_those_of_the_credential_both_count",
            f"{SHARES}::test_what_only_the_owner_may_do_is_403_for_the_other",
            f"{SHARES}::test_taking_a_share_back_ends_the_streams_that_are_open",
        ),
    ),
    "machines": (
        attack(
            "use a leaked token of a machine for anything but joining",
            "403",
            (*OVER_TCP, WS_NODE),
            f"{MACHINE_SCOPE}::test_a_node_token_is_refused_on_every_route_but_its_own",
            f"{MACHINE_SCOPE}::test_a_node_token_does_not_open_socketio",
            f"{MACHINE_SCOPE}::test_a_machine_may_execute_no_command",
            f"{MACHINE_SCOPE}::test_other_callers_cannot_join",
        ),
        attack(
            "join as a machine that has joined before, with its token",
            "4009 until it is removed",
            (WS_NODE,),
            f"{JOINING}::test_another_machine_cannot_take_a_name_until_it_is_removed",
            f"{JOINING}::test_revoking_the_token_ends_the_connection_within_five_seconds",
        ),
        attack(
            "let a program on a machine see the hub's keys or paths; read the token on the way",
            "it has none; http only to this machine",
            (WS_NODE,),
            f"{JOINING}::test_a_program_on_a_machine_gets_neither_a_key_nor_a_path_of_the_hub",
            f"{JOINING}::test_a_url_that_may_not_be_used_is_rejected",
            f"{JOINING}::test_a_token_file_that_others_can_read_is_rejected",
        ),
    ),
    "JWT": (
        attack(
            "alg none, HS256 with the public key, jwk, jku, x5u, unknown crit, kid ../../ and others",
            "401",
            OVER_TCP,
            f"{FORGED}::test_forged_tokens_are_rejected",
            f"{FORGED}::test_forged_tokens_are_rejected_by_every_api",
            f"{FORGED}::test_forged_tokens_are_rejected_by_socketio",
            f"{FORGED}::test_forged_tokens_are_counted_as_invalid_ones",
        ),
        attack(
            "forged tokens of a team's issuer, keys that it does not have, an issuer that is down",
            "401",
            (REST,),
            f"{ISSUERS}::test_forged_tokens_of_an_issuer_are_rejected",
            f"{ISSUERS}::test_unknown_keys_cause_few_requests_to_the_issuer",
            f"{ISSUERS}::test_an_unusable_answer_of_the_issuer_is_rejected",
        ),
    ),
    "rotation": (
        attack(
            "an old key after the overlap; rotate under load",
            "401; no false 401",
            (REST,),
            f"{TOKENS}::test_a_replaced_key_verifies_during_the_overlap_only",
            f"{TOKENS}::test_no_valid_token_is_rejected_while_keys_are_replaced",
        ),
    ),
    "refresh": (
        attack(
            "use a refresh token again, twice at once, or read it from the disk",
            "401, and the family is revoked",
            (REST,),
            f"{TOKENS}::test_a_refresh_token_works_once_and_its_reuse_ends_the_login",
            f"{TOKENS}::test_of_concurrent_refreshes_one_wins_and_its_tokens_are_valid",
            f"{TOKENS}::test_refresh_tokens_and_keys_are_not_stored_in_plain",
        ),
    ),
    "rate": (
        attack(
            "more messages, bytes, turns, tokens or connections than allowed",
            "429 with Retry-After, or 4013",
            OVER_TCP,
            f"{RATES}::test_a_burst_is_accepted_then_the_rate_per_second_applies",
            f"{RATES}::test_bodies_over_tcp_are_counted_by_bytes_whatever_credential_is_sent",
            f"{CONNECTIONS}::test_a_connection_over_the_limit_per_minute_is_rejected",
            "rhetor/hub/turns/test_caller_limits.py::test_a_turn_beyond_the_limit_is_rejected_until_another_ends",
            "rhetor/transports/test_retry_after.py::test_a_message_over_a_limit_is_answered_with_the_time_to_wait",
            "rhetor/transports/test_retry_after.py::test_every_error_of_a_limit_has_the_time_to_wait",
            "rhetor/transports/websocket/test_floods.py::test_ten_thousand_messages_at_once_close_with_4013",
        ),
        attack(
            "guess tokens",
            "429; a valid token is never refused",
            (REST, WS, SOCKETIO),
            f"{GATE}::test_repeated_wrong_tokens_are_429_and_the_right_one_still_works",
            f"{HUB_SOCKETIO}::test_wrong_tokens_are_limited",
        ),
        attack(
            "reset a limit with a second credential",
            "it is shared",
            (SSE,),
            f"{CONNECTIONS}::test_another_credential_of_the_same_caller_shares_its_limits",
        ),
        attack(
            "lock out the owner by a flood",
            "the Unix socket answers; agents on it are limited",
            (UNIX,),
            f"{RATES}::test_a_flood_over_tcp_does_not_delay_the_owner_on_the_unix_socket",
            f"{CONNECTIONS}::test_the_owners_unix_socket_is_exempt",
            f"{CONNECTIONS}::test_an_agent_is_limited_even_on_the_unix_socket",
            "hostile/test_holding_on.py::test_a_client_with_too_many_connections_does_not_block_others",
            "hostile/test_crowd.py::test_a_thousand_half_open_connections_delay_no_other_and_are_closed",
        ),
    ),
    "TLS": (
        attack(
            "TLS 1.1, plain text",
            "the handshake fails",
            OVER_TCP,
            f"{TLS}::test_plain_text_and_tls_1_1_do_not_get_through_the_handshake",
            f"{TLS}::test_a_client_that_trusts_another_ca_does_not_connect",
            f"{TLS}::test_clients_that_do_not_shake_hands_are_dropped_the_oldest_first",
        ),
        attack(
            "responses without security headers, HSTS for localhost",
            "every response has them, rejected WebSockets and invalid heads included",
            OVER_TCP,
            f"{ENTRANCES}::test_every_response_has_the_security_headers",
            f"{TLS}::test_security_headers_are_on_every_response_and_hsts_only_over_tls",
        ),
        attack(
            "an expired or readable certificate or key",
            "`doctor` fails, the hub does not start",
            (CLI,),
            "e2e/test_doctor.py::test_doctor_fails_if_the_certificate_has_expired",
            "rhetor/transports/server/test_certificate.py::test_files_that_cannot_be_used_are_rejected_with_the_reason",
        ),
    ),
    "at rest": (
        attack(
            "read the files of the state folder: log, WAL, spool, blob, checkpoint, core",
            "the canary is in none",
            (CLI,),
            f"{CANARY}::test_what_was_said_is_in_no_file",
            f"{CANARY}::test_what_was_said_is_in_no_file_whatever_happens",
            f"{CANARY}::test_an_aborted_hub_and_an_aborted_host_leave_no_core",
            f"{SEALED}::test_after_kill_9_content_is_in_no_file",
        ),
        attack(
            "swap or change rows, events, epochs or sealed files",
            "a typed error",
            (CLI,),
            f"{SEALED}::test_events_that_were_swapped_or_forged_are_recognized",
            f"{SEALED}::test_swapped_rows_messages_and_results_are_recognized",
            f"{SEALED}::test_swapped_epochs_are_recognized",
            "rhetor/store/files/test_sealed.py::test_an_object_in_the_place_of_another_is_an_error",
        ),
        attack(
            "rotate the keys while the hub runs",
            "every value is readable",
            (CLI,),
            f"{SEALED}::test_a_rotation_under_load_leaves_every_value_readable",
            "e2e/test_data_keys.py::test_keys_are_rotated_while_the_hub_runs_and_old_content_is_readable",
        ),
    ),
    "redaction": (
        attack(
            "a stored API key is looked for in lists, files, arguments and on the screen",
            "it is in none of them; as an argument it is exit 2",
            (REST, UNIX, CLI),
            "e2e/test_setting_up.py::test_keys_are_read_from_stdin_or_a_hidden_prompt_and_used_by_the_running_hub",
            "rhetor/store/test_api_keys.py::test_a_key_is_sealed_in_a_private_file_and_only_values_returns_it",
        ),
        attack(
            "a variable of a repository names another host for a provider whose key is stored",
            "the stored key is not sent there",
            (CLI,),
            "rhetor/drivers/models/test_resolve.py::test_a_stored_key_is_not_sent_to_a_host_that_a_variable_names",
        ),
        attack(
            "have a peer of any kind say a key, cut at any character",
            "it is in no log, export, error, answer or spool",
            (REST, CLI),
            "hostile/attacks/test_redaction_everywhere.py::test_a_key_is_in_no_file_no_answer_and_no_export",
            f"{REDACTION}::test_a_key_is_in_no_text_wherever_it_is_cut",
            f"{REDACTION}::test_a_key_is_in_no_event_whatever_has_it",
            f"{REDACTION}::test_a_key_is_in_no_late_text_wherever_it_is_cut",
            f"{REDACTION}::test_the_beginning_of_a_key_at_the_end_of_a_turn_does_not_give_it_away",
            "rhetor/host/test_spool.py::test_a_secret_is_in_no_segment_in_any_chunking",
            "rhetor/host/test_sealed_spool.py::test_a_secret_over_several_pieces_is_masked_in_place",
        ),
    ),
    "terminal escapes": (
        attack(
            "escape sequences in every text that the hub returns",
            "text and colours only",
            (CLI,),
            "hostile/attacks/test_escapes.py::test_no_command_writes_a_sequence_of_others_to_the_terminal",
            "aish/test_render.py::test_sequences_are_filtered_the_same_in_any_chunking",
            "aish/test_render.py::test_json_for_a_terminal_has_escapes_for_what_must_not_reach_it",
            "rhetor/codec/test_ansi.py::test_only_colours_pass_the_filter",
            "aish/terminal/test_permission_notices.py::test_a_request_cannot_write_escape_sequences_to_the_terminal",
            f"{AUDIT_FILE}::test_names_cannot_forge_a_line_or_control_the_terminal",
        ),
        attack(
            "a model or a file whose name runs a command, or has control characters, is completed with Tab",
            "it is one quoted word, or not offered",
            (CLI,),
            "aish/commands/test_completion.py::test_a_name_is_one_word_in_bash_whatever_it_is",
            "aish/commands/test_completion.py::test_tab_completes_in_a_real_shell",
            "aish/terminal/test_line_completion.py::test_the_name_of_a_file_is_one_word_whatever_it_is",
        ),
    ),
    "spawning": (
        attack(
            "`;id`, `$(id)`, a leading `-` in arguments and messages",
            "they are text",
            (UNIX, REST),
            f"{SPAWNING}::test_arguments_reach_a_wrapped_program_unchanged",
            f"{NOTIFIED}::test_a_command_gets_json_on_stdin_and_variables_and_nothing_is_run_by_a_shell",
            "rhetor/drivers/agents/test_run_per_turn.py::test_each_message_has_its_own_process_which_continues_the_chat",
        ),
        attack(
            "LD_PRELOAD and secrets of the hub in a program's environment",
            "they are not in it",
            (CLI,),
            f"{SPAWNING}::test_a_configured_program_sees_no_secret_and_no_loader_variable_of_the_hub",
            "rhetor/drivers/model_tools/test_servers.py::test_a_server_program_sees_only_allowed_variables",
        ),
        attack(
            "shadow a program of the PATH",
            "the one on the PATH is started",
            (CLI,),
            f"{SPAWNING}::test_a_program_in_the_callers_folder_does_not_shadow_one_on_the_path",
            "rhetor/drivers/programs/host/test_hosts.py::test_a_program_in_the_working_folder_is_not_found_through_the_path",
        ),
        attack(
            "add a program or a server without the right",
            "403",
            (REST,),
            "rhetor/transports/rest/test_programs.py::test_programs_can_be_announced_only_over_the_unix_socket",
            f"{SCOPES}::test_what_changes_the_hub_for_everybody_needs_admin",
        ),
    ),
    "paths": (
        attack(
            "`..`, `%2e%2e`, NUL, links, devices",
            "400, 403, 404 or 422",
            (REST, WS_ATTACH, UNIX),
            f"{PATHS}::test_a_name_in_the_path_reaches_no_file",
            f"{PATHS}::test_a_path_that_is_not_absolute_or_has_nul_is_rejected",
            f"{PATHS}::test_a_link_leads_a_project_to_no_folder_that_is_not_allowed",
            f"{PATHS}::test_only_the_owner_imports_transcripts_and_no_link_is_followed",
            "rhetor/drivers/agents/test_transcripts.py::test_only_regular_files_of_the_user_are_read",
            "rhetor/store/test_blobs.py::test_an_id_reaches_only_files_of_blobs",
            "rhetor/store/files/test_restore.py::test_a_link_in_place_of_a_folder_is_not_followed",
        ),
    ),
    "outgoing URLs": (
        attack(
            "metadata, mapped, NAT64, decimal and octal addresses, other schemes, credentials",
            "422",
            (REST, CLI),
            f"{URLS}::test_a_server_at_a_forbidden_address_is_422_and_not_added",
            f"{URLS}::test_the_shell_reports_a_forbidden_address",
            f"{URLS}::test_a_configured_url_at_a_forbidden_address_is_not_called",
            f"{URLS}::test_a_configured_url_that_is_invalid_is_rejected",
            f"{NOTIFY}::test_a_url_that_is_never_called_is_rejected",
            f"{NOTIFIED}::test_addresses_that_are_not_allowed_are_not_called_whatever_the_name_is",
            "rhetor/drivers/models/test_urls.py::test_forbidden_addresses_are_never_allowed",
            "rhetor/drivers/models/test_urls.py::test_a_host_name_is_rejected_if_any_of_its_addresses_is",
        ),
        attack(
            "an issuer in a private network",
            "it is not called without its setting",
            (REST,),
            f"{ISSUERS}::test_an_issuer_in_a_private_network_needs_the_setting",
        ),
        attack(
            "redirect to another address",
            "the redirect is not followed",
            (CLI,),
            f"{URLS}::test_redirects_of_providers_and_servers_are_not_followed",
            f"{NOTIFIED}::test_every_other_answer_than_2xx_is_a_failure_and_redirects_are_not_followed",
        ),
        attack(
            "an attachment's server sends a small answer that decompresses to a large one",
            "422",
            (REST, CLI),
            "rhetor/drivers/models/test_documents.py::test_a_compressed_answer_is_rejected_before_it_grows",
        ),
    ),
    "user patterns, YAML": (
        attack(
            "a schema for an answer with nested repetition, references that double, or thousands of parts",
            "it is rejected, or the answer does not match; the event loop does not wait",
            (REST, CLI),
            "rhetor/codec/test_json_schema.py::test_a_schema_that_cannot_be_used_is_rejected",
            "rhetor/codec/test_json_schema.py::test_a_pattern_needs_no_exponential_time",
            "rhetor/codec/test_json_schema.py::test_references_need_no_exponential_time",
        ),
        attack(
            "nested repetition in a pattern for prompts",
            "the hub does not stall",
            (UNIX,),
            "rhetor/transports/rest/test_programs.py::test_a_prompt_pattern_with_nested_repetition_does_not_stop_the_hub",
            "rhetor/codec/test_patterns.py::test_every_pattern_fails_quickly_on_a_line_that_does_not_match",
        ),
        attack(
            "an alias bomb, an alias of itself, deep nesting, a large file",
            "it is rejected",
            (CLI,),
            "rhetor/test_settings.py::test_a_file_that_would_need_much_memory_or_stack_is_rejected",
        ),
    ),
    "peers": (
        attack(
            "forge the end of a fence, a heading or a sender",
            "the text stays attributed data",
            (REST,),
            f"{FORWARDS}::test_a_forwarded_answer_is_attributed_and_cannot_forge_its_fence",
            f"{ATTRIBUTION}::test_a_message_from_a_peers_program_is_fenced_under_the_peers_own_name",
        ),
        attack(
            "a file sent with -f has a name with lines for the peer",
            "its name is one line",
            (CLI,),
            "aish/turns/test_prepared.py::test_the_name_of_a_file_says_nothing_outside_of_its_fence",
        ),
        attack(
            "answer a permission request by text",
            "it is refused",
            (REST,),
            f"{ATTRIBUTION}::test_neither_a_peers_message_nor_its_program_can_answer_a_permission_request",
            "aish/screen/test_asking.py::test_text_never_answers_a_request",
        ),
        attack(
            "loops of peers, forwards and teams",
            "they end at 8 hops, or at the limit of fan-out",
            (REST, MCP),
            f"{ATTRIBUTION}::test_a_loop_of_peers_that_call_each_other_ends_after_eight_hops_with_an_error",
            f"{FORWARDS}::test_a_loop_of_two_forwards_ends_at_the_hop_limit_with_an_error",
            f"{FORWARDS}::test_a_loop_over_a_team_ends_at_the_fanout_limit_with_an_error",
            "rhetor/transports/mcp/test_endpoint.py::test_a_chain_of_agents_ends_at_the_hop_limit",
        ),
        attack(
            "take the name of a person",
            "it is refused",
            (UNIX,),
            "rhetor/transports/rest/test_programs.py::test_a_program_cannot_have_the_name_of_a_person",
        ),
    ),
    "agents": (
        attack(
            "a session of its own, re-parenting, an empty environment, a copied token, a passed connection",
            "still an agent",
            (UNIX, REST, SOCKETIO, MCP),
            f"{AGENTS}::test_a_process_left_behind_by_a_program_remains_an_agent",
            f"{AGENTS}::test_a_connection_that_outlives_its_process_still_counts_as_an_agents",
            f"{AGENTS}::test_a_program_with_the_owners_token_is_an_agent_over_socketio",
            f"{AGENTS}::test_what_a_server_or_a_model_has_started_is_never_the_owner",
            f"{AGENTS}::test_a_process_that_gets_the_id_of_a_programs_process_lends_it_no_rights",
            "rhetor/transports/mcp/test_endpoint.py::test_an_agent_that_connects_is_an_agent_here_too",
        ),
        attack(
            "an agent approves, or has tokens and backups made",
            "403",
            (REST, CLI),
            "rhetor/transports/rest/test_requests.py::test_only_the_owner_can_approve_and_not_a_program",
            f"{AGENTS}::test_rhetor_prints_no_token_for_a_program",
            f"{AGENTS}::test_rhetor_makes_and_restores_no_backup_and_exports_nothing_for_a_program",
        ),
    ),
    "logs, audit": (
        attack(
            "a name with line ends",
            "one record",
            (CLI,),
            "rhetor/test_logs.py::test_a_line_is_json_in_utc_without_secrets_and_without_newlines",
            "rhetor/hub/test_audit.py::test_a_name_with_line_ends_is_one_entry_and_a_long_one_is_cut",
        ),
        attack(
            "change, remove, swap or cut off entries of the audit",
            "`rhetor audit verify` finds it",
            (CLI,),
            f"{AUDIT_FILE}::test_a_change_of_any_column_of_an_entry_is_found",
            f"{AUDIT_FILE}::test_a_removed_entry_whose_gap_was_closed_is_found",
            f"{AUDIT_FILE}::test_entries_that_have_changed_places_are_found",
            f"{AUDIT_FILE}::test_a_tail_that_was_cut_off_is_found_also_if_the_count_was_changed",
        ),
        attack(
            "approve or administer without a trace",
            "an entry before the action, through each API",
            OVER_TCP,
            f"{AUDITED}::test_every_privileged_route_leaves_an_entry_before_the_action_and_one_after_it",
            f"{AUDITED}::test_an_approval_through_any_api_is_in_the_audit_without_what_was_asked",
        ),
        attack(
            "fill the log or the audit without a token",
            "few entries, and a count",
            (REST,),
            "rhetor/test_logs.py::test_only_messages_about_clients_are_rate_limited",
            "rhetor/hub/test_audit.py::test_noise_of_one_address_or_of_many_has_few_entries_and_is_counted",
        ),
    ),
    "backup": (
        attack(
            "make a backup under load",
            "whole up to one position",
            (CLI,),
            "rhetor/maintenance/test_backup.py::test_a_backup_under_1000_appends_a_second_is_whole_up_to_one_position",
        ),
        attack(
            "restore a file that was changed or cut, read a sealed one without its passphrase",
            "it is rejected, and nothing changes",
            (CLI,),
            "e2e/test_backup.py::test_a_file_that_is_not_a_sound_backup_changes_nothing",
            "e2e/test_sealed_backup.py::test_without_a_passphrase_there_is_no_sealed_file",
        ),
    ),
    "console": (
        attack(
            "scripts in names and messages, content that a browser would run",
            "they are shown as text, or downloaded",
            (REST,),
            f"{PAGE}::test_the_only_inline_script_is_the_import_map_and_only_terminals_have_inline_styles",
            "rhetor/transports/websocket/test_binary.py::test_a_blob_is_served_only_to_its_owner_and_as_an_attachment",
            "hostile/test_names.py::test_an_unknown_id_is_404_and_injects_no_header_and_no_path",
        ),
        attack(
            "scripts, links, images, forms and styles in messages, answers, tool calls, names, files, plans "
            "and search results; values of any shape; nesting without end",
            "nothing runs, loads or covers the page, and its policy has nothing to report",
            (REST, WS),
            f"{PAYLOADS}::test_in_sessions_their_logs_and_the_search",
            f"{PAYLOADS}::test_what_texts_could_do_is_found",
            "console/test_session.py::test_text_of_a_message_never_becomes_html",
        ),
        attack(
            "permission requests with such texts, with options that look like others, and with hidden text",
            "they are shown as text, with marks for what cannot be seen, and can be answered",
            (REST, WS),
            f"{PAYLOADS}::test_in_permission_requests_and_what_they_ask",
            "console/test_models.py::test_the_tests_of_a_module_pass_in_node",
        ),
        attack(
            "titles, links, pictures and clipboard sequences of a program in its terminal; such texts in "
            "lines and in addresses that another site chooses",
            "they are text, a link needs a modifier, and the clipboard stays as it is",
            (WS_ATTACH, REST),
            f"{PAYLOADS}::test_in_terminals_peers_lines_and_addresses",
            "console/test_terminal.py::test_hostile_output_runs_nothing_and_reads_no_clipboard",
            "console/test_terminal.py::test_a_link_opens_with_a_modifier_only",
            "console/test_terminal.py::test_copied_text_is_what_is_on_the_screen_and_pasted_text_has_no_control_characters",
        ),
        attack(
            "run an answer of an API as a script, a style or a worker of the page; use the cookie from "
            "another origin of the same site, even an allowed one",
            "403",
            (REST, WS),
            f"{GATE}::test_a_login_code_works_once_and_sets_an_http_only_cookie",
            f"{CORS}::test_a_cookie_is_not_accepted_from_a_page_of_an_allowed_origin",
        ),
        attack(
            "show the console in a frame, log in to it from a link of another site, go on with a login that "
            "has ended",
            "nothing is framed, a person is asked first, and the page asks for a new login",
            (REST, WS),
            f"{PAGE}::test_the_only_inline_script_is_the_import_map_and_only_terminals_have_inline_styles",
            f"{PAGE}::test_every_view_has_the_page_after_a_login_only",
            "console/test_login.py::test_a_link_of_another_site_logs_in_only_after_a_click",
            "console/test_login.py::test_a_page_whose_login_ends_says_so_and_takes_a_code",
            "console/test_login.py::test_a_phone_logs_in_over_tls_with_the_qr_code_and_only_at_that_name",
        ),
        attack(
            "read answers of the hub from the service worker's cache, open the console through it from "
            "another site",
            "it keeps only the files of the page",
            (REST,),
            "console/test_worker.py::test_the_console_opens_without_the_hub_and_keeps_none_of_its_answers",
            "console/test_worker.py::test_a_link_of_another_site_opens_nothing_through_the_worker",
        ),
    ),
}
