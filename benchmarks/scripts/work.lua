-- Tables, closures, strings and floating point; arg[1] is how much. Prints checksums.
local rounds = math.tointeger(arg[1])

local function fannkuch(n)
  local p, q, s, sign, maxflips, sum = {}, {}, {}, 1, 0, 0
  for i = 1, n do p[i] = i; q[i] = i; s[i] = i end
  while true do
    local q0 = p[1]
    if q0 ~= 1 then
      for i = 2, n do q[i] = p[i] end
      local flips = 1
      while true do
        local qq = q[q0]
        if qq == 1 then
          sum = sum + sign * flips
          if flips > maxflips then maxflips = flips end
          break
        end
        q[q0] = q0
        if q0 >= 4 then
          local i, j = 2, q0 - 1
          repeat q[i], q[j] = q[j], q[i]; i = i + 1; j = j - 1 until i >= j
        end
        q0 = qq
        flips = flips + 1
      end
    end
    if sign == 1 then
      p[1], p[2] = p[2], p[1]
      sign = -1
    else
      p[2], p[3] = p[3], p[2]
      sign = 1
      for i = 3, n do
        local sx = s[i]
        if sx ~= 1 then s[i] = sx - 1; break end
        if i == n then return sum, maxflips end
        s[i] = i
        local t = p[1]
        for j = 1, i do p[j] = p[j + 1] end
        p[i + 1] = t
      end
    end
  end
end

local function words(n)
  local count, seed, order = {}, 1, {}
  for _ = 1, n do
    seed = (seed * 1103515245 + 12345) % 2147483648
    local word = string.format("w%x", seed // 4096 % 5000)
    if not count[word] then order[#order + 1] = word end
    count[word] = (count[word] or 0) + 1
  end
  table.sort(order, function(a, b)
    return count[a] > count[b] or count[a] == count[b] and a < b
  end)
  return order[1], count[order[1]], #table.concat(order, " "):gsub("%d+", "<%0>")
end

local function spectral(n)
  local u, v = {}, {}
  for i = 0, n - 1 do u[i] = 1.0 end
  for _ = 1, 4 do
    for i = 0, n - 1 do
      local sum = 0.0
      for j = 0, n - 1 do sum = sum + u[j] / ((i + j) * (i + j + 1) / 2 + i + 1) end
      v[i] = sum
    end
    u, v = v, u
  end
  return string.format("%.9f", u[0])
end

for round = 1, rounds do
  print(round, fannkuch(8))
  print(words(20000))
  print(spectral(100))
end
