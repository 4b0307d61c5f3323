-- Sends each line of a file of signed bodies once: `SIGNATURE BODY`, the threads taking turns by line.
local threads = {}

function setup(thread)
    thread:set("index", #threads)
    table.insert(threads, thread)
end

function init(args)
    local file, stride = args[1], tonumber(args[2])
    requests, position = {}, 0
    local number = 0
    for line in io.lines(file) do
        if number % stride == index then
            local signature, body = line:match("^(%S+) (.*)$")
            requests[#requests + 1] = wrk.format("POST", "/webhook", { ["X-Signature"] = signature }, body)
        end
        number = number + 1
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
