-- Sends each line `SIGNATURE BODY` of a file once, and starts again at its end.

function init(args)
    requests, position = {}, 0
    for line in io.lines(args[1]) do
        local signature, body = line:match("^(%S+) (.*)$")
        requests[#requests + 1] = wrk.format("POST", "/webhook", { ["X-Signature"] = signature }, body)
    end
end

function request()
    position = position % #requests + 1
    return requests[position]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %f %f %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99),
        errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
