package emulator

import (
	"fmt"
	"net"
)

// Listen opens a TCP listener on a port of 127.0.0.1; port 0 means any free one.
func Listen(port int) (net.Listener, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen on port %d of 127.0.0.1: %w", port, err)
	}
	return l, nil
}

// FreePort returns a port of 127.0.0.1 that was free a moment ago. For servers
// that cannot be handed a listener; they may find it taken and must try again.
func FreePort() (int, error) {
	l, err := Listen(0)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
