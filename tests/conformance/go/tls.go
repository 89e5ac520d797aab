package main

// The conversation of Lanyard's demo programs, by spiffetls: the server greets whom it lets in, reads one line, answers it.

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// What spiffetls' connections are besides net.Conn.
type tlsConnection interface {
	net.Conn
	spiffetls.PeerIDGetter
	ConnectionState() tls.ConnectionState
}

func describePeer(connection tlsConnection, more map[string]string) error {
	id, err := connection.PeerID()
	if err != nil {
		return err
	}
	more["peer"] = id.String()
	more["version"] = tls.VersionName(connection.ConnectionState().Version)
	emit(more)
	return nil
}

func readLine(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func tlsDial(ctx context.Context, address string, peer spiffeid.ID) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	mode := spiffetls.MTLSClientWithSource(tlsconfig.AuthorizeID(peer), source)
	connection, err := spiffetls.DialWithMode(ctx, "tcp", address, mode)
	if err != nil {
		return err
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	greeting, err := readLine(reader)
	if err != nil {
		return err
	}
	fmt.Fprintln(connection, "where is order 4711?")
	answer, err := readLine(reader)
	if err != nil {
		return err
	}
	return describePeer(connection.(tlsConnection), map[string]string{"greeting": greeting, "answer": answer})
}

func tlsListen(ctx context.Context, peer spiffeid.ID, connections int) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	mode := spiffetls.MTLSServerWithSource(tlsconfig.AuthorizeID(peer), source)
	listener, err := spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0", mode)
	if err != nil {
		return err
	}
	defer listener.Close()
	emit(map[string]string{"listening": listener.Addr().String()})
	for ; connections > 0; connections-- {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := greet(connection.(tlsConnection)); err != nil {
			emit(map[string]string{"refused": err.Error()})
		}
	}
	return nil
}

func greet(connection tlsConnection) error {
	defer connection.Close()
	// The first write completes the handshake, the check of the client with it.
	if _, err := fmt.Fprintln(connection, "hello from go"); err != nil {
		return err
	}
	request, err := readLine(bufio.NewReader(connection))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(connection, "order 4711 is on its way"); err != nil {
		return err
	}
	return describePeer(connection, map[string]string{"request": request})
}
