"""The agent: answers questions, one a line on standard input, by asking an MCP tool. run.sh starts it under `lanyard exec`.

Each question is asked on a new connection, to the tool with the expected SPIFFE ID and to nobody else.
"""

import argparse
import asyncio
import logging
import re
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import spiffe_tls


def say(text):
    print(f'agent: {text}', flush=True)


def understand(question):
    """Which tool to use, and with what. A real agent asks its model here."""
    number = int(re.search(r'\d+', question)[0])
    return ('where_is', {'order': number}) if 'order' in question else ('count_stock', {'seconds': number})


async def ask(url, context, question):
    """The tool's answer."""
    async with httpx2.AsyncClient(verify=context, timeout=60) as http, \
            Client(streamable_http_client(url, http_client=http)) as tool:
        return (await tool.call_tool(*understand(question))).content[0].text


def reason(error):
    """Why there is no answer. MCP calls in task groups, which wrap what happened."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or 'the other side closed the connection and said nothing'


def answer(question, url, context):
    """Says what comes of one question."""
    try:
        me = spiffe_tls.own_identity()
        say(f'"{question}" I call the tool as {me.spiffe_id}, serial {me.serial}')
        found = asyncio.run(ask(url, context, question))
        now = spiffe_tls.own_identity()
        if now.serial != me.serial:
            say(f'meanwhile my identity rotated, the serial is {now.serial}')
        say(f'answer: "{found}"')
    except Exception as error:  # whatever it was, the next question may be answered
        say(f'no answer: {reason(error)}')


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--tool-url', required=True)
    options.add_argument('--tool-id', required=True, help='SPIFFE ID that the tool must have')
    options = options.parse_args()
    logging.basicConfig(format='agent: %(message)s', level=logging.WARNING, stream=sys.stdout, force=True)
    logging.getLogger('spiffe_tls').setLevel(logging.INFO)
    context = spiffe_tls.client_context(options.tool_id)
    for question in sys.stdin:
        answer(question.strip(), options.tool_url, context)


if __name__ == '__main__':
    main()
