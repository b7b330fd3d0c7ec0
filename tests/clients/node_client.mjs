// OpenAI's SDK for Node as its users write it. Says on stdout, as JSON, what came of each case; judges nothing.
import OpenAI from 'openai'

const { BASE_URL: baseURL, KEY: apiKey, TOOL } = process.env
const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, logLevel: 'off' })
const fn = JSON.parse(TOOL)
const messages = [{ role: 'user', content: 'hello' }]
const tools = [{ type: 'function', function: fn }]
const flatTools = [{ type: 'function', strict: false, ...fn }]

const run = response => response.headers.get('headwater-run')

const cases = {
  async chatStream() {
    const request = { model: 'wild', messages, stream: true, stream_options: { include_usage: true } }
    const { data, response } = await client.chat.completions.create(request).withResponse()
    let text = '', finish, usage
    for await (const chunk of data) {
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? ''
        finish = choice.finish_reason ?? finish
      }
      usage = chunk.usage ?? usage
    }
    return { text, finish, usage, run: run(response), location: response.headers.get('content-location') }
  },
  async chatWhole() {
    const { data, response } = await client.chat.completions.create({ model: 'wild', messages }).withResponse()
    return { ...data.choices[0], usage: data.usage, run: run(response) }
  },
  async chatTools() {
    const stream = client.chat.completions.stream({ model: 'tools', messages, tools })
    let done = 0
    stream.on('tool_calls.function.arguments.done', () => done++)
    const final = await stream.finalChatCompletion()
    return { ...final.choices[0], done }
  },
  async chatReasoning() {
    let reasoning = '', text = ''
    for await (const chunk of await client.chat.completions.create({ model: 'reasoning', messages, stream: true })) {
      reasoning += chunk.choices[0]?.delta.reasoning_content ?? ''
      text += chunk.choices[0]?.delta.content ?? ''
    }
    return { reasoning, text }
  },
  async chatQuiet() {
    return (await client.chat.completions.stream({ model: 'quiet', messages }).finalChatCompletion()).choices[0]
  },
  async chatSecondTurn() {
    const called = (await client.chat.completions.create({ model: 'tools', messages, tools })).choices[0].message
    const results = called.tool_calls.map(call => ({ role: 'tool', tool_call_id: call.id, content: 'of node' }))
    const turns = [...messages, called, ...results]
    return (await client.chat.completions.create({ model: 'wild', messages: turns, tools })).choices[0].message
  },
  async chatLeft() {
    const { data, response } = await client.chat.completions.create({ model: 'slow', messages, stream: true }).withResponse()
    for await (const _ of data) break
    return run(response)
  },
  async models() {
    const names = []
    for await (const model of client.models.list()) names.push(model.id)
    return [names, (await client.models.retrieve('demo')).id]
  },
  async responseStream() {
    const request = { model: 'wild', input: 'hello', stream: true }
    const { data, response } = await client.responses.create(request).withResponse()
    return { ...(await collect(data)), run: run(response) }
  },
  async responseWhole() {
    const { data, response } = await client.responses.create({ model: 'wild', input: 'hello' }).withResponse()
    return { status: data.status, text: data.output_text, usage: data.usage, run: run(response) }
  },
  async responseHelper() {
    const final = await client.responses.stream({ model: 'tools', input: 'hello', tools: flatTools }).finalResponse()
    return { status: final.status, text: final.output_text, output: final.output }
  },
  async responseReasoning() {
    const final = await client.responses.stream({ model: 'reasoning', input: 'hello' }).finalResponse()
    return { text: final.output_text, output: final.output }
  },
  async responseQuiet() {
    const final = await client.responses.stream({ model: 'quiet', input: 'hello' }).finalResponse()
    return { status: final.status, text: final.output_text }
  },
  async responseResumed() {
    const started = await client.responses.create({ model: 'wild', input: 'hello', background: true, stream: true })
    const before = await collect(started, 9)
    const query = { stream: true, starting_after: before.numbers.at(-1) }
    const after = await collect(await client.responses.retrieve(before.id, query))
    return { before, after, whole: (await client.responses.retrieve(before.id)).output_text }
  },
  async responseReplayed() {
    const { id } = await client.responses.create({ model: 'wild', input: 'hello' })
    const numbers = []
    const stream = client.responses.stream({ response_id: id, starting_after: 40 })
    for await (const event of stream) numbers.push(event.sequence_number)
    const final = await stream.finalResponse()
    return { numbers, text: final.output_text, sameId: final.id === id }
  },
  async responseBackground() {
    let response = await client.responses.create({ model: 'wild', input: 'hello', background: true })
    const first = response.status
    while (['queued', 'in_progress'].includes(response.status)) {
      await new Promise(resolve => setTimeout(resolve, 20))
      response = await client.responses.retrieve(response.id)
    }
    return { first, status: response.status, text: response.output_text }
  },
  async responseCancelled() {
    const { id } = await client.responses.create({ model: 'slow', input: 'hello', background: true })
    return (await client.responses.cancel(id)).status
  },
  async responseChained() {
    const first = await client.responses.create({ model: 'wild', input: 'one' })
    const second = await client.responses.create({ model: 'wild', input: 'two', previous_response_id: first.id })
    const items = []
    for await (const item of client.responses.inputItems.list(second.id, { limit: 1, order: 'asc' })) items.push(item)
    const deleted = await client.responses.delete(first.id)
    return { items, deleted, first: first.id, previous: second.previous_response_id }
  },
  async responseGone() {
    const { id } = await client.responses.create({ model: 'wild', input: 'hello' })
    await client.responses.delete(id)
    await client.responses.retrieve(id)
  },

  chatSpoiled: () => drained(client.chat.completions.create({ model: 'spoiled', messages, stream: true })),
  chatCut: () => client.chat.completions.stream({ model: 'cut', messages }).finalChatCompletion(),
  responseSpoiled: async () => (await client.responses.stream({ model: 'spoiled', input: 'hello' }).finalResponse()).status,
  chatPicky: () => client.chat.completions.create({ model: 'picky', messages, stream: true }),
  chatBusy: () => client.chat.completions.create({ model: 'busy', messages, stream: true }),
  chatDown: () => client.chat.completions.create({ model: 'down', messages }),
  chatTwo: () => client.chat.completions.create({ model: 'demo', messages, n: 2 }),
  chatUnknownModel: () => client.chat.completions.create({ model: 'no-such-model', messages }),
  chatStranger: () => client.withOptions({ apiKey: 'no-key-of-theirs' }).chat.completions.create({ model: 'demo', messages }),
  responsePicky: () => client.responses.create({ model: 'picky', input: 'hello', stream: true }),
  responseUnknownModel: () => client.responses.create({ model: 'no-such-model', input: 'hello' }),
  responseUnknown: () => client.responses.retrieve('resp_unknown'),
}

async function drained(promise) {
  for await (const _ of await promise);
}

// The deltas and numbers of a response's events, up to the `most`th.
async function collect(stream, most = Infinity) {
  const told = { id: undefined, text: '', numbers: [], last: undefined }
  for await (const event of stream) {
    told.id ??= event.response?.id
    if (event.type === 'response.output_text.delta') told.text += event.delta
    told.numbers.push(event.sequence_number)
    told.last = event.type
    if (told.numbers.length >= most) break
  }
  return told
}

function refusal(error) {
  const { status, code, param, type, message } = error
  return { name: error.constructor.name, status, code, param, type, message }
}

const outcomes = Object.entries(cases).map(async ([name, act]) => {
  try {
    return [name, { value: await act() }]
  } catch (error) {
    return [name, { error: refusal(error) }]
  }
})
console.log(JSON.stringify(Object.fromEntries(await Promise.all(outcomes))))
