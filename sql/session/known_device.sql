-- session/known_device: whether a subject's stored sessions, alive or not, know a user agent and a network.
-- $1 subject text, $2 user_agent text or null, $3 network text or null
-- Rows: 1, with knows_user_agents and knows_networks boolean (whether any session remembers one at all), user_agent_known and
-- network_known boolean. Only the thousand newest sessions are looked at.
SELECT coalesce(bool_or(s.user_agent IS NOT NULL), false) AS knows_user_agents,
       coalesce(bool_or(s.network IS NOT NULL), false) AS knows_networks,
       coalesce(bool_or(s.user_agent = $2), false) AS user_agent_known,
       coalesce(bool_or(s.network = $3::text::cidr), false) AS network_known
  FROM (SELECT user_agent, network
          FROM session
         WHERE subject = $1
         ORDER BY session_id DESC
         LIMIT 1000) AS s
