// Package raw speaks HTTP, SSH and SFTP as a judge of servers has to: it sends what client libraries would not send,
// sees what they hide, bounds what it reads and how long it waits, and shows each exchange to a [Link], by which a run
// is recorded and judged again. It knows nothing of the upgrade API, and imports no package of this module.
package raw
