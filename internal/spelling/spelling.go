// Package spelling guesses which word was meant by one that is unknown.
package spelling

import (
	"strings"
	"unicode/utf8"
)

// Nearest returns the word with the fewest typing errors (a character missing, extra, wrong, or two swapped) between
// it and text, whatever the case of letters. It returns "" if no word is near enough to have been meant.
func Nearest(text string, words ...string) string {
	best, fewest := "", 1+max(1, utf8.RuneCountInString(text)/3)
	for _, word := range words {
		errors := distance([]rune(strings.ToLower(text)), []rune(strings.ToLower(word)))
		if errors < fewest && word != "" {
			best, fewest = word, errors
		}
	}
	return best
}

// distance is the optimal string alignment distance.
func distance(a, b []rune) int {
	const far = 1 << 20
	if len(a)+len(b) > 200 {
		return far // too long for a mistyped word, and costly to compare
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
