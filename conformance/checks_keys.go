package conformance

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// seenKeys are the keys of all requests of the database API that the run has made, which are judged together when it is
// over.
func seenKeys(c *checker) []seenKey {
	if c.opts.Production {
		c.draft()
	} else {
		for range 8 {
			c.create()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.keys), func(k seenKey) bool { return k.api != APIDatabase })
}

func keyChecks() []check {
	return []check{
		{id: "create/key-form", rows: rows("3.10"), evidence: EvidenceDocumented, gentle: true, last: true,
			says: "The key is 16 bytes in URL-safe base64 with padding: 24 characters.",
			run:  checkCreateKeyForm},
		{id: "create/key-new", rows: rows("3.10"), evidence: EvidenceDocumented, last: true,
			says: "Each request has a key of its own.",
			run:  checkCreateKeyNew},
		{id: "create/key-unguessable", rows: rows("3.10"), evidence: EvidenceDocumented, last: true,
			says: "The key is random: no part of it is the same in all requests, and it isn't made from the id.",
			run:  checkCreateKeyUnguessable},
	}
}

func checkCreateKeyForm(c *checker) {
	for _, k := range seenKeys(c) {
		raw, err := base64.URLEncoding.Strict().DecodeString(k.key)
		if err != nil || len(raw) != 16 || len(k.key) != 24 {
			c.wrong("create, for request "+k.id,
				"a key of 24 characters of URL-safe base64 with padding, such as Aw7pItGVKFuZ_FOR3U8VFQ==",
				fmt.Sprintf("one of %d characters, %.4s…%.4s", len(k.key), k.key, k.key[max(0, len(k.key)-4):]))
		}
	}
}

func checkCreateKeyNew(c *checker) {
	of := map[string]string{}
	for _, k := range seenKeys(c) {
		if other, there := of[k.key]; there && other != k.id {
			c.wrong("create twice", "two keys", "requests "+other+" and "+k.id+" have the same key")
		}
		of[k.key] = k.id
	}
}

func checkCreateKeyUnguessable(c *checker) {
	seen := seenKeys(c)
	var raws [][]byte
	for _, k := range seen {
		raw, err := base64.URLEncoding.DecodeString(k.key)
		if err != nil {
			raw = []byte(strings.TrimRight(k.key, "="))
		}
		raws = append(raws, raw)
		for how, guess := range guesses(k.id) {
			if len(raw) > 0 && strings.HasPrefix(string(guess), string(raw)) {
				c.wrong("create, for request "+k.id, "a random key", "one that is "+how+" of the id")
			}
		}
	}
	if len(raws) < 6 {
		c.errorf("only %d keys were seen, too few to judge", len(raws))
	}
	for i := range raws[0] {
		same := true
		for _, raw := range raws {
			same = same && i < len(raw) && raw[i] == raws[0][i]
		}
		if same {
			c.wrong(fmt.Sprintf("create, %d times", len(raws)), "random keys",
				fmt.Sprintf("keys whose byte %d is the same in all", i+1))
		}
	}
}

// guesses are keys that a careless server makes from an id.
func guesses(id string) map[string][]byte {
	m, s1, s2 := md5.Sum([]byte(id)), sha1.Sum([]byte(id)), sha256.Sum256([]byte(id))
	return map[string][]byte{"the MD5": m[:], "the SHA-1": s1[:], "the SHA-256": s2[:]}
}
