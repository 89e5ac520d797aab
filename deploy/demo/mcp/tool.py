"""The tool: an MCP server that answers one agent, and nobody else. run.sh starts it under `lanyard exec`."""

import argparse
import asyncio
import logging
import socket
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

import spiffe_tls

server = MCPServer('orders')


def say(text):
    print(f'tool:  {text}', flush=True)


@server.tool()
def where_is(order: int) -> str:
    """Where an order is."""
    say(f'asked where order {order} is, answering')
    return f'order {order} is on its way'


@server.tool()
async def count_stock(seconds: int, context: Context) -> str:
    """How many pieces are in stock. Counting takes its time."""
    say(f'asked to count the stock, which takes {seconds} s')
    for second in range(seconds):
        await context.report_progress(second, seconds)
        await asyncio.sleep(1)
    say('counted, answering')
    return f'{seconds * 100} pieces are in stock'


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--agent-id', required=True, help='SPIFFE ID of the agent that is answered')
    agent_id = options.parse_args().agent_id
    logging.basicConfig(format='tool:  %(message)s', level=logging.WARNING, stream=sys.stdout, force=True)
    logging.getLogger('spiffe_tls').setLevel(logging.INFO)

    context = spiffe_tls.server_context(agent_id)
    config = uvicorn.Config(server.streamable_http_app(), ssl_context_factory=lambda *_: context, log_config=None)
    listener = socket.create_server(('127.0.0.1', 0))
    say(f'I am {spiffe_tls.own_identity().spiffe_id}')
    say(f'listening on https://127.0.0.1:{listener.getsockname()[1]}/mcp')
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == '__main__':
    main()
