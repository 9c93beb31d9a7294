package verify_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What became of a database takes the place of the output file.
func TestJudge_database(t *testing.T) {
	t.Parallel()
	const about = "when: {api: script}\nrun: {database: true}\n"
	for _, tc := range []struct {
		name, script, expect, verdict string
		status                        int
		db                            verify.Database
		saw                           string
	}{
		{"restored", about, "out: upgraded", "pass", 0, verify.Database{Exists: true}, "the database new"},
		{"not restored", about, "out: upgraded", "fail", 0, verify.Database{}, "no database new with anything in it"},
		{"another", about, "out: upgraded", "fail", 0, verify.Database{Exists: true, Differs: "other"}, "other"},
		{"none wanted", about, "out: absent", "pass", 1, verify.Database{}, "no file"},
		{"one too many", about, "out: absent", "fail", 1, verify.Database{Exists: true}, "the database new"},
		{"the old one", about, "out: absent", "fail", 1, verify.Database{Differs: "old has changed"}, "old has changed"},
		{
			"a lie", about, "exit: honest", "fail", 0, verify.Database{},
			"exit status 0 and no database new with anything in it",
		},
		{"the truth", about, "exit: honest", "pass", 0, verify.Database{Exists: true}, "exit status 0 and the database new"},
		{"a file will do", "when: {api: script}\n", "out: upgraded", "fail", 0, verify.Database{}, "no file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Parse("s.yaml", []byte(tc.script+"expect: {"+tc.expect+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			db := tc.db
			db.Name = "new"
			results := verify.Judge(s, verify.Evidence{Run: &verify.Run{
				Status: tc.status, Out: filepath.Join(t.TempDir(), "out"), Database: &db,
			}})
			if len(results) != 1 || results[0].Verdict != tc.verdict || results[0].Saw != tc.saw {
				t.Errorf("%+v, want %s: %s", results, tc.verdict, tc.saw)
			}
		})
	}
}

func TestJudge_filestore(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse("s.yaml", []byte("when: {api: script}\nexpect: {filestore: merged}\n"))
	if err != nil {
		t.Fatal(err)
	}
	results := func() (fs.FS, func() error, error) {
		return fstest.MapFS{"filestore/ab/theirs": {Data: []byte("1")}, "filestore/ab/both": {Data: []byte("2")}},
			func() error { return nil }, nil
	}
	for name, tc := range map[string]struct {
		made    map[string]string
		verdict string
		saw     string
	}{
		"merged":    {map[string]string{"ab/theirs": "1", "ab/both": "2", "cd/ours": "3"}, "pass", "all 3 files"},
		"and more":  {map[string]string{"ab/theirs": "1", "ab/both": "2", "cd/ours": "3", "x": ""}, "pass", "all 3 files"},
		"none":      {nil, "fail", "no filestore of new"},
		"copied":    {map[string]string{"cd/ours": "3"}, "fail", "without ab/both, a file of the result"},
		"not over":  {map[string]string{"ab/theirs": "1", "ab/both": "old"}, "fail", "ab/both, a file of the result"},
		"not under": {map[string]string{"ab/theirs": "1", "ab/both": "2"}, "fail", "without cd/ours, a file of the old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := &verify.Database{Name: "new", OldFiles: filepath.Join(dir, "old"), NewFiles: filepath.Join(dir, "new")}
			write := func(at string, files map[string]string) {
				for name, content := range files {
					file := filepath.Join(at, name)
					if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			write(db.OldFiles, map[string]string{"ab/both": "old", "cd/ours": "3"})
			write(db.NewFiles, tc.made)
			judged := verify.Judge(s, verify.Evidence{
				Requests: []verify.Request{{Results: results}}, Run: &verify.Run{Database: db},
			})
			for _, r := range judged {
				if r.Expect == "filestore" && r.Verdict == tc.verdict && strings.Contains(r.Saw, tc.saw) {
					return
				}
			}
			t.Errorf("%+v, want %s: %s", judged, tc.verdict, tc.saw)
		})
	}
}
