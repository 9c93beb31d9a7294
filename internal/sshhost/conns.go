package sshhost

import (
	"cmp"
	"slices"
	"time"
)

// Conn is a connection as it is at one moment.
type Conn struct {
	Peer
	LoggedIn       bool
	Since          time.Time // by real time
	Received, Sent int64     // bytes on the wire
}

// Conns returns the connections that there are, in the order in which they came.
func (s *Server) Conns() []Conn {
	var list []Conn
	for _, c := range s.connections() {
		if c.cause() == nil {
			list = append(list, Conn{
				Peer: c.peer(), LoggedIn: c.loggedIn.Load(), Since: c.start,
				Received: c.received.Load(), Sent: c.sent.Load(),
			})
		}
	}
	slices.SortFunc(list, func(a, b Conn) int { return cmp.Compare(a.Conn, b.Conn) })
	return list
}

// End drops the connection with that number at once, because of cause. It reports whether there was one.
func (s *Server) End(number uint64, cause error) bool {
	for _, c := range s.connections() {
		if c.id == number && c.cause() == nil {
			c.drop(cause)
			return true
		}
	}
	return false
}
