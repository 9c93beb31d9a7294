// Package refserver is a second server of the upgrade API, for the tests of the suite: written from the contract,
// knowing nothing of the emulator, small, and in memory. It can be made wrong in one place at a time, so that the
// tests see which checks notice.
package refserver
