package version

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	ours := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: module, Version: version}, Settings: settings}
	}
	theirs := func(deps ...*debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: "example.com/app", Version: "v9.9.9"}, Deps: deps}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	at := debug.BuildSetting{Key: "vcs.time", Value: "2025-01-02T15:04:05Z"}
	for _, tc := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"release", ours("v1.2.3"), "v1.2.3"},
		{"commit", ours("v0.0.0-20250102150405-0123456789ab+dirty"), "v0.0.0-20250102150405-0123456789ab+dirty"},
		{"without the repository", ours("(devel)"), "devel"},
		{"no version", ours("", revision, at), "devel-20250102150405-0123456789ab"},
		{"changed", ours("(devel)", at, revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			"devel-20250102150405-0123456789ab+dirty"},
		{"unchanged", ours("(devel)", debug.BuildSetting{Key: "vcs.modified", Value: "false"}), "devel"},
		{"a short revision", ours("", debug.BuildSetting{Key: "vcs.revision", Value: "12"}), "devel-12"},
		{"dependency", theirs(&debug.Module{Path: "example.com/b", Version: "v2.0.0"},
			&debug.Module{Path: module, Version: "v1.2.3"}), "v1.2.3"},
		{"replaced by a directory", theirs(&debug.Module{Path: module, Version: "v1.2.3",
			Replace: &debug.Module{Path: "../upgrademock"}}), "devel"},
		{"replaced by a fork", theirs(&debug.Module{Path: module, Version: "v1.2.3",
			Replace: &debug.Module{Path: "example.com/fork", Version: "v1.2.4"}}), "v1.2.4"},
		{"absent", theirs(), "devel"},
	} {
		if got := of(tc.info); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v1.2.3": "v1.2.3", "v1.2.3-rc.1": "v1.2.3-rc.1", "v0.10.0-beta2": "v0.10.0-beta2",
		"v1.2.3-0.20250102150405-0123456789ab": "", "v0.0.0-20250102150405-0123456789ab": "", "v1.2.3+dirty": "",
		"v1.2.4-SNAPSHOT-0123456": "", "devel": "", "devel-20250102150405-0123456789ab": "",
	} {
		if got := tag(version); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}

// What the image's build gives the linker is the variable's name.
func TestRelease(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	const flag = "-X " + module + "/internal/version.release="
	if !strings.Contains(string(text), flag) {
		t.Errorf("the Dockerfile does not set %s", flag)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "main.go")
	source := "package main\n\nimport \"" + module + "/internal/version\"\n\nfunc main() { print(version.String()) }\n"
	if err := os.WriteFile(program, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	// A package in the place of one that is not there, so that it may import what is internal.
	overlay := filepath.Join(dir, "overlay.json")
	here, err := filepath.Abs("shown/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, []byte(`{"Replace": {"`+here+`": "`+program+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", "-overlay", overlay, "-ldflags", flag+"v1.2.3", "./shown").CombinedOutput()
	if err != nil || string(out) != "v1.2.3" {
		t.Errorf("the program says %q, %v", out, err)
	}
}
