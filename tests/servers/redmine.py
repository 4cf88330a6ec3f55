"""Redmine: a real one on a copy of its SQLite database, seeded while it boots.

`login_required` is on: without it a wrong API key still reads issues as anonymous. The key belongs to a plain user with the role
Manager in one project, as a bot's would. Gemfile and configuration are the Debian package's; only the database is ours.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.processes import answers_http, find, folder_of, free_port, is_root, running

HOME = Path("/usr/share/redmine")
DATABASE = Path("/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default")
SEED = """
require '/usr/share/redmine/config/environment'
Redmine::DefaultData::Loader.load('en') if Redmine::DefaultData::Loader.no_data?
Setting.rest_api_enabled = '1'
Setting.login_required = '1'
Setting.notified_events = []
Setting.text_formatting = 'markdown'
project = Project.find_by(identifier: 'certops') || Project.create!(
  name: 'Certificate operations', identifier: 'certops', is_public: false,
  tracker_ids: Tracker.pluck(:id), enabled_module_names: ['issue_tracking'])
bot = User.find_by_login('keymuster') || User.new(firstname: 'Key', lastname: 'Muster', mail: 'keymuster@lab.test').tap do |u|
  u.login = 'keymuster'; u.password = u.password_confirmation = SecureRandom.hex(16); u.save!
end
Member.create!(project: project, principal: bot, roles: [Role.find_by_name('Manager')]) unless bot.member_of?(project)
Token.find_or_create_by(user_id: bot.id, action: 'api').update_column(:value, ENV.fetch('KEYMUSTER_TEST_KEY'))
run Rails.application
"""


@dataclass(frozen=True)
class Redmine:
    """Where it is and who may write there."""

    url: str
    api_key: str
    project: str


@pytest.fixture(scope="session")
def redmine() -> Iterator[Redmine]:
    """A Redmine with an empty project; tickets of one test are seen by the next, so look for your own keys."""
    port = free_port()
    server = Redmine(f"http://127.0.0.1:{port}", "b" * 40, "certops")
    with folder_of("www-data") as folder:
        database = folder / "redmine.sqlite3"
        shutil.copy(DATABASE, database)
        (folder / "config.ru").write_text(SEED)
        for path in (database, folder / "config.ru"):
            _hand_over(path)
        env = {
            "BUNDLER_VERSION": "2.3.15",
            "REDMINE_INSTANCE": "default",
            "RAILS_ENV": "production",
            "DATABASE_URL": f"sqlite3:{database}?timeout=10000",
            "KEYMUSTER_TEST_KEY": server.api_key,
        }
        argv = [find("bundle") or "bundle", "exec", "thin", "start", "-a", "127.0.0.1", "-p", str(port)]
        argv += ["-e", "production", "-R", str(folder / "config.ru")]
        with running(argv, lambda: answers_http(f"{server.url}/login", 200), folder, user="www-data", env=env, cwd=HOME, seconds=180):
            yield server


def _hand_over(path: Path) -> None:
    if is_root():
        account = pwd.getpwnam("www-data")
        os.chown(path, account.pw_uid, account.pw_gid)
