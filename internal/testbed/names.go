package testbed

import (
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/upgrademock/upgrademock/internal/proxy"
)

// nameServer is the DNS server of a space (RFC 1035 section 4): some names lead to 127.0.0.1, and all others nowhere.
type nameServer struct {
	conn    net.PacketConn
	ours    []string // with a dot at the end
	serving sync.WaitGroup

	mu      sync.Mutex
	refused map[string]bool
}

func serveNames(conn net.PacketConn, names []string) *nameServer {
	s := &nameServer{conn: conn, refused: make(map[string]bool)}
	for _, name := range names {
		s.ours = append(s.ours, strings.ToLower(name)+".")
	}
	s.serving.Go(s.serve)
	return s
}

func (s *nameServer) close() error {
	err := s.conn.Close()
	s.serving.Wait()
	return err
}

func (s *nameServer) serve() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer := s.answer(buffer[:n]); answer != nil {
			s.conn.WriteTo(answer, from)
		}
	}
}

// answer returns the answer to a message, nil if there is none.
func (s *nameServer) answer(message []byte) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	answer := dnsmessage.Message{
		Header: dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	switch name := strings.ToLower(question.Name.String()); {
	case !s.leadsToUs(name):
		answer.RCode = dnsmessage.RCodeNameError
		s.mu.Lock()
		s.refused[strings.TrimSuffix(name, ".")] = true
		s.mu.Unlock()
	case question.Type == dnsmessage.TypeA && question.Class == dnsmessage.ClassINET:
		answer.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	packed, err := answer.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// leadsToUs reports whether a name is the emulator's: all below the platform's domain are.
func (s *nameServer) leadsToUs(name string) bool {
	_, domain, _ := strings.Cut(proxy.Production, ".")
	return slices.Contains(s.ours, name) || name == domain+"." || strings.HasSuffix(name, "."+domain+".")
}

// Refused are the names that were looked for in vain, sorted.
func (s *nameServer) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.refused))
}
