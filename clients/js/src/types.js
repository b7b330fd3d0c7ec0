/**
 * What goes over the wire, as docs/protocol.md has it: objects that come from the server are handed on as they are.
 *
 * @typedef {{text?: string, reasoning?: string, refusal?: string, tool_call?: ToolCall}} Part exactly one of these
 * @typedef {{index: number, id?: string, name?: string, arguments?: string}} ToolCall
 * @typedef {Part & {after: number, seq: number}} Delta
 * @typedef {{input_tokens?: number, output_tokens?: number, reasoning_tokens?: number, cached_tokens?: number, estimated?: boolean}} Usage
 * @typedef {{code: string, detail: string, upstream_status?: number, retry_after_s?: number}} Failure
 * @typedef {"queued" | "in_progress" | "completed" | "failed" | "cancelled" | "incomplete"} RunStatus
 */

/**
 * @typedef {object} Run
 * @property {string} id
 * @property {RunStatus} status
 * @property {string} model
 * @property {string} position
 * @property {boolean} cancel_requested
 * @property {string | null} conversation
 * @property {Record<string, string>} metadata
 * @property {number} created_at
 * @property {number | null} started_at
 * @property {number | null} ended_at
 * @property {number | null} expires_at
 * @property {string} url
 * @property {string} events_url
 * @property {string} cancel_url
 * @property {string} [output] all text so far, where the run was read
 * @property {Part[]} [parts]
 * @property {string | null} [finish_reason]
 * @property {string | null} [reason]
 * @property {Failure | null} [error]
 * @property {Usage | null} [usage]
 * @property {RunAttempt[]} [attempts] its tries, the first one too, where the run was read
 *
 * @typedef {{number: number, reason: AttemptReason, how: "continued" | "restarted", model?: string}} Attempt another try; `model` goes on, where it is another
 * @typedef {{number: number, reason: AttemptReason | null, how: "continued" | "restarted" | null, model: string, usage: Usage | null}} RunAttempt
 * @typedef {"takeover" | "failover" | "drain"} AttemptReason
 */

/**
 * The body of `POST /v1/runs`.
 *
 * @typedef {object} RunRequest
 * @property {string | Record<string, unknown>[]} input
 * @property {string} [model]
 * @property {string} [conversation]
 * @property {string} [instructions]
 * @property {number} [max_output_tokens]
 * @property {number} [temperature]
 * @property {number} [top_p]
 * @property {string | string[]} [stop]
 * @property {number} [seed]
 * @property {Record<string, unknown>[]} [tools]
 * @property {unknown} [tool_choice]
 * @property {Record<string, unknown>} [response_format]
 * @property {boolean} [failover] whether the run may be rescued where an upstream fails
 * @property {boolean | null} [restart] whether what cannot be continued may begin anew, which withdraws what was shown
 * @property {Record<string, unknown>} [extra]
 * @property {Record<string, string>} [metadata]
 */

/**
 * What every client and every function takes. Times are milliseconds.
 *
 * @typedef {object} ClientOptions
 * @property {string} url where the server is, without `/v1`; in a page it may be relative
 * @property {import("./token.js").TokenSource} [token] or a function, which is asked for a newer one when one is refused
 * @property {typeof globalThis.fetch} [fetch]
 * @property {SocketClass} [WebSocket]
 * @property {EventSourceClass} [EventSource]
 * @property {number} [maxWaitMs] how long to keep trying while nothing works; 120,000
 * @property {number} [timeoutMs] for the answer to one request; 30,000
 * @property {number} [silenceMs] after which a silent stream is taken for broken; 45,000, three keep-alives
 * @property {{baseMs?: number, capMs?: number, random?: () => number}} [backoff] 500 and 8,000
 *
 * @typedef {{signal?: AbortSignal}} Abortable
 */

/**
 * What is needed of a WebSocket.
 *
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {((event: any) => void) | null} onopen
 * @property {((event: {data: any}) => void) | null} onmessage
 * @property {((event: any) => void) | null} onerror
 * @property {((event: {code: number, reason: string}) => void) | null} onclose
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 *
 * @typedef {new (url: string, protocols: string[]) => Socket} SocketClass
 */

/**
 * What is needed of an EventSource.
 *
 * @typedef {object} EventSourceLike
 * @property {number} readyState
 * @property {((event: any) => void) | null} onerror
 * @property {(type: string, listener: (event: any) => void) => void} addEventListener
 * @property {() => void} close
 *
 * @typedef {new (url: string) => EventSourceLike} EventSourceClass
 */

/**
 * How a watch or a room gets on. `error` is why it has to wait, for `waitMs`, before the next of its `tries`.
 *
 * @typedef {object} StatusEvent
 * @property {"status"} type
 * @property {"connecting" | "live" | "retrying" | "closed"} state
 * @property {number} tries that failed in a row
 * @property {number} [waitMs]
 * @property {import("./errors.js").HeadwaterError} [error]
 */

/**
 * The events of a run. `text` is all of it so far, `delta` what is new of it, `position` from where to go on after it.
 *
 * @typedef {{text: string, position: string | undefined}} SoFar
 * @typedef {{type: "run", data: {id: string, status: RunStatus, model: string}} & SoFar} RunEvent
 * @typedef {{type: "snapshot", data: {seq?: number, parts: Part[]}} & SoFar} SnapshotEvent
 * @typedef {{type: "delta", delta: string, data: Delta} & SoFar} DeltaEvent
 * @typedef {{type: "attempt", data: Attempt & {after: number, seq: number}} & SoFar} AttemptEvent
 * @typedef {{type: "end", data: EndData} & SoFar} EndEvent
 * @typedef {StatusEvent & SoFar} WatchStatusEvent
 * @typedef {RunEvent | SnapshotEvent | DeltaEvent | AttemptEvent | EndEvent | WatchStatusEvent} WatchEvent
 *
 * @typedef {object} Ending how it ended
 * @property {RunStatus} status
 * @property {string} [finish_reason]
 * @property {string} [reason]
 * @property {Failure} [error]
 * @property {Usage} [usage]
 *
 * @typedef {Ending & {after?: number, seq?: number}} EndData
 * @typedef {Ending & {id: string, text: string, parts: Part[], position: string | undefined}} Result
 */

/**
 * A message of a room, as it is now. One that was said here and has not been heard yet is `pending`; its `id` is its
 * `client_id` until then. An answer has a `run`; its `status` is `in_progress` while it grows.
 *
 * @typedef {object} RoomMessage
 * @property {string} id
 * @property {number} [seq]
 * @property {string} [position]
 * @property {string} by
 * @property {string} name
 * @property {string} text
 * @property {number} at
 * @property {boolean} [pending]
 * @property {string} [client_id]
 * @property {string} [reply_to]
 * @property {string[]} [mentions]
 * @property {number} [edited_at]
 * @property {boolean} [deleted]
 * @property {Record<string, string[]>} [reactions]
 * @property {string} [run]
 * @property {string} [model]
 * @property {string} [asked]
 * @property {RunStatus} [status]
 * @property {Part[]} [parts]
 * @property {string} [reason]
 * @property {Failure} [error]
 * @property {Usage} [usage]
 *
 * @typedef {{id: string, name: string}} Member
 * @typedef {Member & {role: string}} You
 */

/**
 * The events of a room; each comes once the room's state is what it says. `replaces` is the client_id of the local copy
 * that the message takes the place of. After a `reset` everything is to be shown anew.
 *
 * @typedef {{type: "joined", recovered: boolean, you: You, members: Member[]}} JoinedEvent
 * @typedef {{type: "reset", messages: RoomMessage[]}} ResetEvent
 * @typedef {{type: "message", message: RoomMessage, pending: boolean, replaces?: string}} MessageEvent
 * @typedef {{type: "edited" | "deleted" | "reacted" | "run" | "snapshot" | "end", message: RoomMessage}} ChangeEvent
 * @typedef {{type: "attempt", message: RoomMessage, attempt: Attempt}} RoomAttemptEvent
 * @typedef {{type: "delta", message: RoomMessage, delta: string}} GrowthEvent
 * @typedef {{type: "history", messages: RoomMessage[], hasMore: boolean}} HistoryEvent
 * @typedef {{type: "presence", joined: Member[], left: Member[], members: Member[]}} PresenceEvent
 * @typedef {{type: "typing", members: Member[]}} TypingEvent
 * @typedef {{type: "read", by: string, seq: number}} ReadEvent
 * @typedef {{type: "refused", clientId: string, message: RoomMessage, error: Error}} RefusedEvent
 * @typedef {JoinedEvent | ResetEvent | MessageEvent | ChangeEvent | RoomAttemptEvent | GrowthEvent | HistoryEvent | PresenceEvent | TypingEvent | ReadEvent | RefusedEvent | StatusEvent} RoomEvent
 */

export {};
